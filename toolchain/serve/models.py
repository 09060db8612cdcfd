"""Models that viewers can choose from, each loaded once for all viewers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakValueDictionary

from toolchain.api.matting import Matting
from toolchain.api.model_files import ModelFile, find_models
from toolchain.definitions.variants import HINTS, Hint
from toolchain.errors import UsageError
from toolchain.printable import printable

DEFAULT_HINT: Hint = "default"
OFFERED_HINTS = (DEFAULT_HINT, *(hint for hint in HINTS if hint != DEFAULT_HINT))


class Models:
    """All models of some paths, by a key of name and precision.

    A model is unloaded when no viewer uses it any more.

    Args:
        paths: Paths of models; see `toolchain.Matting`.
        device: OpenVINO's name of the device.

    Raises:
        UsageError: A path contains no model.
    """

    def __init__(self, paths: Sequence[Path], device: str) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._loaded: WeakValueDictionary[tuple[str, Hint], Matting] = WeakValueDictionary()
        self._files: dict[str, ModelFile] = {}
        for path in paths:
            for model in find_models(path):
                self._files.setdefault(f"{model.name} {model.precision}".rstrip(), model)

    @property
    def keys(self) -> list[str]:
        """Keys of all models; the first one is the default."""
        return list(self._files)

    def get(self, key: str, hint: str) -> Matting:
        """Return a model, which is loaded if necessary.

        Args:
            key: Key of the model.
            hint: Precision to compute in, "default" or "f32".

        Returns:
            The model.

        Raises:
            UsageError: The key or the hint is unknown.
            ValidationError: OpenVINO cannot run the model.
        """
        known = next((offered for offered in OFFERED_HINTS if offered == hint), None)
        if key not in self._files or known is None:
            raise UsageError(f"model not found: {printable(key)} at {printable(hint)}")
        with self._lock:  # two viewers that choose the same model load it once
            model = self._loaded.get((key, known))
            if model is None:
                xml = self._files[key].xml
                model = Matting(xml, device=self._device, hint=known, as_bytes=True)
                self._loaded[key, known] = model
            return model
