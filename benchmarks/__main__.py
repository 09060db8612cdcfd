"""`python -m benchmarks [NAME ...]`: run the named benchmarks, or all."""

from __future__ import annotations

import sys
from importlib import import_module

ALL = ("startup", "download", "build", "evaluate", "run", "plates", "model")


def main(names: list[str]) -> int:
    """Run the benchmarks one after another; 1 if any missed a target, 2 for an unknown name."""
    if unknown := [name for name in names if name not in ALL]:
        print(f"unknown benchmark {', '.join(unknown)}; known: {', '.join(ALL)}", file=sys.stderr)
        return 2
    codes: list[int] = [import_module(f"benchmarks.{name}").main() for name in names or ALL]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
