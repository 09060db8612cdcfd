"""`python -m campaign`: try what comes from outside, kind by kind, until the time is over."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from campaign.doors import DOORS
from campaign.kinds import Door, Kind
from campaign.laws import MIB, Try
from campaign.processes import Forks
from campaign.table import Record, write_page
from toolchain.workspace.environment import code_digest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "faults.md"
ENOUGH = 20  # tries of each kind


def main(arguments: Sequence[str] | None = None) -> int:
    """Make tries; returns 1 if one was against a law, or if a kind had too few."""
    options = _create_parser().parse_args(arguments)
    doors = [door for door in DOORS if options.door in (None, door.name)]
    work = options.work / f"{code_digest()[:16]}-{options.seed}"
    work.mkdir(parents=True, exist_ok=True)
    journal = work / "tries.jsonl"
    records, spent = read_journal(journal)
    if options.after_fix is not None:
        records, spent = read_journal(options.after_fix)
        failed = {(record.door, record.kind) for record in records if record.faults}
        records = [record for record in records if (record.door, record.kind) not in failed]
    with journal.open("a", encoding="utf-8") as stream:
        began = time.monotonic()
        for record in make_tries(
            doors, options.minutes * 60 - spent, options.seed, records, options.tries
        ):
            now = time.monotonic()
            spent, began = spent + now - began, now
            stream.write(json.dumps({**asdict(record), "spent": spent}) + "\n")
            stream.flush()
            records.append(record)
            if record.faults:
                print(
                    f"{record.door}, {record.kind}, try {record.number}: {record.faults}",
                    flush=True,
                )
    kinds = [kind for door in doors for kind in door.kinds]
    counts = Counter((record.door, record.kind) for record in records)
    few = [kind for kind in kinds if counts[kind.door, kind.name] < options.tries]
    failures = [record for record in records if record.faults]
    if options.door is None and not options.no_page:
        again = sorted(f"{door}, {kind}" for door, kind in failed) if options.after_fix else []
        write_page(PAGE, kinds, records, spent / 60, options.seed, again)
        print(f"{PAGE.relative_to(ROOT)} written")
    for kind in few:
        print(f"TOO FEW: {kind.door}, {kind.name}: {counts[kind.door, kind.name]} tries")
    print(f"campaign: {len(kinds)} kinds, {len(records):,} tries, {len(failures)} failures")
    return 1 if failures or few else 0


def make_tries(
    doors: Sequence[Door], seconds: float, seed: int, done: Sequence[Record], least: int
) -> Iterator[Record]:
    """Make tries in rounds over all kinds, at least `least` of each, until the time is over.

    Args:
        doors: The doors.
        seconds: Time for all tries.
        seed: Seed of all random numbers.
        done: Tries of an earlier run, which are not repeated.
        least: Tries of each kind, whatever the time.

    Yields:
        Each try when it is finished.
    """
    counts = Counter((record.door, record.kind) for record in done)
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="campaign-")))
        opened: dict[str, tuple[Forks, object]] = {}
        for door in doors:
            forks = Forks(door.modules)
            stack.callback(forks.close)
            shared = door.prepare() if door.prepare else None
            if door.close:
                stack.callback(door.close, shared)
            opened[door.name] = forks, shared
        while True:
            fewest = min(counts[kind.door, kind.name] for door in doors for kind in door.kinds)
            if fewest >= least and time.monotonic() >= end:
                return
            for door in doors:
                for kind in door.kinds:
                    number = counts[kind.door, kind.name]
                    if number > fewest:
                        continue
                    counts[kind.door, kind.name] += 1
                    yield _attempt(door, kind, number, seed, scratch, *opened[door.name])
                    if fewest >= least and time.monotonic() >= end:
                        return


def read_journal(path: Path) -> tuple[list[Record], float]:
    """Read the tries of an interrupted run, and the seconds that they took."""
    records: list[Record] = []
    spent = 0.0
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # killed while writing it
                found = json.loads(line)
                spent = found.pop("spent")
                records.append(Record(**{**found, "faults": tuple(found["faults"])}))
    return records, spent


def _attempt(
    door: Door, kind: Kind, number: int, seed: int, scratch: Path, forks: Forks, shared: object
) -> Record:
    folder = scratch / "try" / "here"
    folder.mkdir(parents=True)
    rng = random.Random(f"{seed}/{kind.door}/{kind.name}/{number}")
    tried = Try(folder, rng, forks, shared, door.memory * MIB, door.disk * MIB)
    kind.attempt(tried)
    tried.finish()
    return Record(
        kind.door, kind.name, number, tuple(tried.faults), tried.peak_memory, tried.peak_disk
    )


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m campaign",
        description="Try everything that comes from outside with faults; nothing may get in.",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=float(os.environ.get("CAMPAIGN_MINUTES", "30")),
        metavar="N",
        help="time for all tries (CAMPAIGN_MINUTES, or 30)",
    )
    parser.add_argument("--tries", type=int, default=ENOUGH, metavar="N", help="of each kind (20)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of all tries (1)")
    parser.add_argument("--door", metavar="NAME", help="only this door; writes no page")
    parser.add_argument(
        "--after-fix",
        type=Path,
        metavar="JOURNAL",
        help="keep the tries of an earlier run, except those of the kinds that failed, which are "
        "all tried again; the page says so",
    )
    parser.add_argument("--no-page", action="store_true", help="write no page")
    parser.add_argument(
        "--work",
        type=Path,
        default=ROOT / "build" / "campaign",
        metavar="DIR",
        help="finished tries, so that an interrupted run continues (build/campaign)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
