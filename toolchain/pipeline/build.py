"""From weights to a verified IR: the stages in order, each skipped while its result holds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from toolchain.pipeline.job import Outcome, holds, run
from toolchain.pipeline.jobs import jobs_of
from toolchain.pipeline.obtain import foresee_obtaining, obtain
from toolchain.pipeline.request import STAGES, BuildRequest
from toolchain.progress import Listener, Silence
from toolchain.workspace.atomic import os_errors, sweep
from toolchain.workspace.ledger import Ledger
from toolchain.workspace.locking import locked


@dataclass(frozen=True)
class BuildResult:
    """What a build made or found made.  `verdict`: the content of validation.json, if asked for."""

    request: BuildRequest
    outcomes: tuple[Outcome, ...]
    verdict: Mapping[str, Any] | None

    @property
    def anything_ran(self) -> bool:
        """Whether any stage had to run."""
        return any(outcome.ran for outcome in self.outcomes)


@dataclass(frozen=True)
class Foreseen:
    """What a run would do for one entry: "run", or "keep" what still holds; and why."""

    entry: str
    action: Literal["run", "keep"]
    detail: str


def build(request: BuildRequest, listener: Listener | None = None) -> BuildResult:
    """Run the stages of `request` under the lock of the model's folder.

    Raises whatever a stage raises; ValidationError if the verdict is a fail.  Results of stages
    that were finished stay, and the next run goes on from there.
    """
    talk = listener or Silence()
    layout = request.layout
    outcomes = []
    with locked(layout.folder):
        with os_errors(layout.folder, "write"):
            layout.folder.mkdir(parents=True, exist_ok=True)
            sweep(layout.folder)
        ledger = Ledger(layout.folder)
        for stage in STAGES:
            if stage not in request.stages:
                continue
            if stage == "download":
                outcomes.append(_obtain(request, talk))
            else:
                outcomes += [run(job, ledger, talk) for job in jobs_of(request, stage)]
    verdict = None
    if "validate" in request.stages:
        verdict = json.loads(layout.validation.read_text(encoding="utf-8"))
    return BuildResult(request, tuple(outcomes), verdict)


def foresee(request: BuildRequest) -> tuple[Foreseen, ...]:
    """What `build` would do, without network, and without touching anything."""
    ledger = Ledger(request.layout.folder)
    seen: list[Foreseen] = []
    stale = False
    for stage in STAGES:
        if stage not in request.stages:
            continue
        if stage == "download":
            stale, detail = foresee_obtaining(request)
            seen.append(Foreseen("download", "run" if stale else "keep", detail))
            continue
        if not request.checkpoint.is_file():
            seen.append(Foreseen(stage, "run", "after the download"))
            stale = True
            continue
        before = stale
        for job in jobs_of(request, stage):
            runs = before or not holds(job, ledger)
            stale = stale or runs
            made = ", ".join(map(str, job.outputs))
            seen.append(Foreseen(job.entry, "run" if runs else "keep", made))
    return tuple(seen)


def _obtain(request: BuildRequest, listener: Listener) -> Outcome:
    began = time.monotonic()
    ran = obtain(request, listener)
    return Outcome("download", ran, time.monotonic() - began, (request.checkpoint,))
