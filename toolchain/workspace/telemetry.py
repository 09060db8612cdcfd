"""Keeps libraries from reporting usage while they are imported."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

MODULE = "openvino_telemetry"


@contextlib.contextmanager
def without_telemetry() -> Iterator[None]:
    """Let imports in this context find no `openvino_telemetry`, and restore it afterwards.

    OpenVINO (by way of its converter) and NNCF report to their makers through that package and
    leave an identifier in the home folder.  Where it cannot be imported they work without it.
    The host program's own modules stay as they are.
    """
    hidden = {
        name: sys.modules.pop(name)
        for name in list(sys.modules)
        if name.partition(".")[0] == MODULE
    }
    sys.modules[MODULE] = None  # type: ignore[assignment]  # makes `import` raise ImportError
    try:
        yield
    finally:
        del sys.modules[MODULE]
        sys.modules.update(hidden)
