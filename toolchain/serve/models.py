"""The models that viewers may choose among, loaded once for all who use them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakValueDictionary

from toolchain.api.matting import Matting
from toolchain.api.model_files import ModelFile, find_models
from toolchain.definitions.variants import Hint
from toolchain.errors import UsageError

HINTS: tuple[Hint, ...] = ("default", "f32")


class Models:
    """Those of some folders or IRs, by a key of name and precision.

    One that no viewer uses any more is let go.
    """

    def __init__(self, places: Sequence[Path], device: str) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._loaded: WeakValueDictionary[tuple[str, Hint], Matting] = WeakValueDictionary()
        self._located: dict[str, ModelFile] = {}
        for place in places:
            for item in find_models(place):
                self._located.setdefault(_key(item), item)

    @property
    def keys(self) -> list[str]:
        """What can be chosen; the first one unless somebody says otherwise."""
        return list(self._located)

    def get(self, key: str, hint: str) -> Matting:
        """The model, loaded by now.  Raises UsageError for an unknown one, and as `Matting`."""
        known = next((item for item in HINTS if item == hint), None)
        if key not in self._located or known is None:
            raise UsageError(f"no model {key} at {hint}")
        with self._lock:  # two viewers who choose the same one load it once
            model = self._loaded.get((key, known))
            if model is None:
                xml = self._located[key].xml
                model = Matting(xml, device=self._device, hint=known, as_bytes=True)
                self._loaded[key, known] = model
            return model


def _key(item: ModelFile) -> str:
    return f"{item.name} {item.precision}".rstrip()
