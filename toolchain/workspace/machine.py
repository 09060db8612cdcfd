"""The machine that a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> dict[str, str | int | None]:
    """Processor, logical cores and operating system, as they stand beside measured figures."""
    return {"processor": processor(), "cores": os.cpu_count(), "os": platform.system()}


def processor() -> str:
    """The processor's name as the operating system tells it."""
    info = Path("/proc/cpuinfo")  # only Linux has it; elsewhere platform knows better
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
