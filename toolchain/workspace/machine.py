"""The machine that results depend on."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import Any


@cache
def processor() -> str:
    """The processor's name as the operating system tells it."""
    info = Path("/proc/cpuinfo")  # only Linux has it; elsewhere platform knows better
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """Processor, cores and system, as they stand in every verdict."""
    return {"processor": processor(), "cores": os.cpu_count(), "os": platform.system()}
