"""One try: its folder, its commands, and the five laws that hold for every one.

1. No wrong artefact under a final name.
2. No traceback, and nothing on the terminal that is not printable.
3. No hang.
4. Memory and disk are bounded.
5. No good file is lost.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from campaign.processes import Command, Forks, Outcome

MIB = 1 << 20
LAWS = (
    "wrong artefact",
    "traceback",
    "hang",
    "memory or disk",
    "lost file",
)
_TRACE = re.compile(r"Traceback \(most recent call last\)|Exception ignored|Fatal Python error")
_CONTROL = re.compile(r"[^\n\t\r -~\u00a0-\uffff\U00010000-\U0010ffff]")
SHOWN = 300  # characters of a message that are kept


@dataclass
class Try:
    """A try of one kind.

    Attributes:
        folder: An empty folder of its own.
        rng: Random numbers that depend on the seed, the kind and the number of the try.
        forks: Runs the commands.
        shared: What the door prepared once.
        memory: Largest growth of memory in bytes that is allowed.
        disk: Largest growth of the folder in bytes that is allowed.
        faults: What was against a law.
        peak_memory: Largest growth of memory of a command.
        peak_disk: Largest growth of the folder.
    """

    folder: Path
    rng: random.Random
    forks: Forks
    shared: Any = None
    memory: int = 96 * MIB
    disk: int = 64 * MIB
    faults: list[str] = field(default_factory=list)
    peak_memory: int = 0
    peak_disk: int = 0
    _kept: dict[Path, bytes] = field(default_factory=dict)
    _final: dict[Path, tuple[bytes, ...]] = field(default_factory=dict)

    def keep(self, name: str, data: bytes) -> Path:
        """Write a good file, which must be unchanged at the end."""
        path = self.write(name, data)
        self._kept[path] = data
        return path

    def write(self, name: str, data: bytes) -> Path:
        """Write a file that may change."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def final(self, name: str, *good: bytes) -> Path:
        """Name a result: at the end it must not exist, or have one of the good contents."""
        path = self.folder / name
        self._final[path] = good
        return path

    def run(self, program: str, *arguments: object, **settings: Any) -> Outcome:
        """Run a command and check the laws about it."""
        return self.run_all([(program, arguments)], **settings)[0]

    def run_all(
        self, commands: Sequence[tuple[str, tuple[object, ...]]], **settings: Any
    ) -> list[Outcome]:
        """Run commands at the same time."""
        killed = settings.get("kill_after") is not None
        base = Command("", (), self.folder, **settings)
        outcomes = self.forks.run(
            *(
                replace(base, program=program, arguments=tuple(map(str, arguments)))
                for program, arguments in commands
            )
        )
        for outcome in outcomes:
            self._check(outcome, killed=killed)
        return outcomes

    def expect(self, good: bool, law: str, detail: str) -> None:
        """Record a fault unless `good`."""
        if not good:
            self.faults.append(f"{law}: {detail[:SHOWN]}")

    def refused(self, outcome: Outcome, *codes: int) -> None:
        """The command has to end with an error (or one of `codes`)."""
        self.expect(
            outcome.code in (codes or (1, 2)),
            "wrong artefact",
            f"exit code {outcome.code}: {outcome.errors[-200:]}",
        )

    def finish(self) -> None:
        """Check the files, then remove the folder."""
        for path, data in self._kept.items():
            same = path.is_file() and path.read_bytes() == data
            self.expect(same, "lost file", f"{path.name} is not what it was")
        for path, good in self._final.items():
            if path.exists():
                right = path.is_file() and path.read_bytes() in good
                self.expect(right, "wrong artefact", f"{path.name} is not the expected file")
        for here, folders, _ in os.walk(self.folder):
            for name in folders:
                Path(here, name).chmod(0o700)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check(self, outcome: Outcome, *, killed: bool) -> None:
        text = outcome.errors
        if found := _TRACE.search(text):
            last = text.strip().splitlines()[-1]
            self.expect(False, "traceback", f"{last} ({text[found.start() :][-SHOWN:]})")
        for stream in (outcome.output, outcome.errors):
            if found := _CONTROL.search(stream):
                self.expect(False, "traceback", f"not printable: {found[0]!r}")
        self.expect(not outcome.hung, "hang", f"{outcome.seconds:.0f} s")
        if not killed and not outcome.hung:
            self.expect(outcome.code >= 0, "traceback", f"ended by signal {-outcome.code}")
        self.expect(len(text) < 20_000, "traceback", f"a message of {len(text):,} characters")
        self.peak_memory = max(self.peak_memory, outcome.memory)
        self.peak_disk = max(self.peak_disk, outcome.disk)
        memory, disk = outcome.memory // MIB, outcome.disk // MIB
        self.expect(outcome.memory <= self.memory, "memory or disk", f"{memory} MiB of memory")
        self.expect(outcome.disk <= self.disk, "memory or disk", f"{disk} MiB of disk")
