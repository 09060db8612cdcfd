"""Run a command and print its time and memory: `measure.py COMMAND...`.

A small process of its own, because the system's number for child processes includes their parent.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time


def main(*command: str) -> int:
    """Print `[seconds, MiB of the largest process, exit code]`."""
    began = time.perf_counter()
    code = subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ).returncode
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps([seconds, used / (2**20 if sys.platform == "darwin" else 2**10), code]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
