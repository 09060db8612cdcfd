"""The environment that results depend on: machine, installed libraries, the toolchain's code."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any


@cache
def processor() -> str:
    """Return the processor's name as the operating system reports it."""
    info = Path("/proc/cpuinfo")  # Linux only; elsewhere `platform` has the name
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """Return processor, number of cores and operating system, for JSON records."""
    return {"processor": processor(), "cores": os.cpu_count(), "os": platform.system()}


@cache
def version(distribution: str) -> str:
    """Return the installed version of a distribution, "absent" if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"


@cache
def code_digest() -> str:
    """Return a digest of the toolchain's own code without the command line."""
    package = Path(__file__).parents[1]
    hasher = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package).as_posix()
        if not relative.startswith("cli/"):
            hasher.update(relative.encode() + b"\0" + path.read_bytes() + b"\0")
    return hasher.hexdigest()
