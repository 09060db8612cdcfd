"""Start-up time of commands: help, and the list of models."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.outcome import Figure, conclude

ROUNDS = 15
LIMIT = 0.2  # seconds
BARE = "python -c pass"


def main() -> int:
    """Run each command in turn, `ROUNDS` times; print median and minimum."""
    scripts = Path(sys.executable).parent
    commands: dict[str, list[str | Path]] = {
        BARE: [sys.executable, "-c", "pass"],
        "matting --help": [scripts / "matting", "--help"],
        "omz_info_dumper --all": [scripts / "omz_info_dumper", "--all"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for round_number in range(ROUNDS + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if round_number:  # the first one fills the disk cache
                seconds[name].append(time.perf_counter() - began)
    figures = []
    for name, values in seconds.items():
        limit = None if name == BARE else LIMIT
        figures.append(Figure(name, statistics.median(values), "s", limit))
        figures.append(Figure(f"{name}, minimum", min(values), "s"))
    return conclude("startup", figures)


if __name__ == "__main__":
    sys.exit(main())
