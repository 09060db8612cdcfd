"""`python -m fidelity`: put checkpoints and faults through export, conversion and validation."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # processes side by side, one thread each

import torch

from fidelity.family import list_family
from fidelity.faults import list_faults
from fidelity.table import Row, count_missed, write_page
from fidelity.trial import Outcome, judge, make_build
from toolchain.workspace.environment import code_digest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "fidelity.md"
HOSTS = ("bundled", "random, seed 0", "random, gain 2.5", "random, err small")
WHOLE = ""  # the trial without a fault
ENOUGH = 3  # checkpoints on which each fault has to be caught


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials; returns 1 if a legitimate checkpoint fails or a fault is missed."""
    options = _create_parser().parse_args(arguments)
    family, faults = list_family(), list_faults()
    checkpoints = [name for name in family if options.only is None or options.only in name]
    jobs = [
        (name, tuple(faults) if name in HOSTS and not options.family else ())
        for name in checkpoints
    ]
    jobs.sort(key=lambda job: -len(job[1]))  # the long ones first
    cache = options.work / code_digest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    rows: list[Row] = []
    with ProcessPoolExecutor(options.processes) as pool:
        results = pool.map(_run, *zip(*jobs, strict=True), [cache] * len(jobs))
        for number, found in enumerate(results, 1):
            rows += found
            print(f"{number} of {len(jobs)} checkpoints: {found[0].checkpoint}", flush=True)
    order = {name: number for number, name in enumerate(family)}
    rows.sort(key=lambda row: order[row.checkpoint])
    false_failures = [row for row in rows if not row.fault and row.outcome.verdict != "pass"]
    missed = [] if options.family or options.only else count_missed(rows, faults, ENOUGH)
    if not (options.family or options.only):
        write_page(PAGE, rows, list(faults), ENOUGH, time.monotonic() - began)
        print(f"{PAGE.relative_to(ROOT)} written")
    for row in false_failures:
        print(f"FALSE FAILURE: {row.checkpoint}: {row.outcome.reason}")
    for fault, caught in missed:
        print(f"MISSED: {fault}: caught on {caught} of {len(HOSTS)} checkpoints")
    whole = [row for row in rows if not row.fault]
    print(
        f"fidelity: {len(whole)} checkpoints, {len(false_failures)} false failures; "
        f"{len(rows) - len(whole)} faulty builds, {len(missed)} faults missed"
    )
    return 1 if false_failures or missed else 0


def _run(checkpoint: str, names: Iterable[str], cache: Path) -> list[Row]:
    """Try one checkpoint, whole and with every fault; finished trials are kept and used again."""
    torch.set_num_threads(1)
    faults = list_faults()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="fidelity-") as folder:
        build = None
        for number, fault in enumerate((WHOLE, *names)):
            digest = hashlib.sha256(f"{checkpoint}\0{fault}".encode()).hexdigest()[:24]
            kept = cache / f"{digest}.json"
            if not kept.is_file():
                build = build or make_build(list_family()[checkpoint](), Path(folder, "whole"))
                request = (
                    faults[fault](build, Path(folder, str(number))) if fault else build.request
                )
                text = json.dumps(asdict(judge(request)))
                part = kept.with_suffix(".part")
                part.write_text(text, encoding="utf-8")
                part.replace(kept)
            outcome = Outcome(**json.loads(kept.read_text(encoding="utf-8")))
            rows.append(Row(checkpoint, fault, outcome))
    return rows


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fidelity",
        description="Check that the validation passes correct builds and catches faulty ones.",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=ROOT / "build" / "fidelity",
        metavar="DIR",
        help="finished trials, so that an interrupted run continues (build/fidelity)",
    )
    parser.add_argument(
        "--processes", type=int, default=2, metavar="N", help="trials at a time (2)"
    )
    parser.add_argument("--family", action="store_true", help="only checkpoints, no faults")
    parser.add_argument("--only", metavar="TEXT", help="only checkpoints whose name has TEXT")
    return parser


if __name__ == "__main__":
    sys.exit(main())
