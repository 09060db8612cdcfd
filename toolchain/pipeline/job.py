"""One entry of the ledger: work that is done only while its recorded result does not hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import ToolchainError
from toolchain.progress import Listener
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.ledger import Ledger, key_of


@dataclass(frozen=True)
class Job:
    """`tools`: distributions whose versions matter to the result.

    `inputs`: files by a name that does not depend on where they lie.
    """

    stage: str
    entry: str
    inputs: Mapping[str, Path]
    parameters: Mapping[str, object]
    tools: tuple[str, ...]
    outputs: tuple[Path, ...]
    work: Callable[[Listener], object]


@dataclass(frozen=True)
class Outcome:
    """`ran` is False where the earlier result still held; `seconds`: wall time."""

    entry: str
    ran: bool
    seconds: float
    files: tuple[Path, ...]


def run(job: Job, ledger: Ledger, listener: Listener) -> Outcome:
    """Do the job unless its result holds.

    Raises what the work raises, and ToolchainError for an input that is not there.
    """
    began = time.monotonic()
    for path in job.inputs.values():
        if not path.is_file():
            raise ToolchainError(
                f"{path}: is not there, and {job.stage} needs it",
                kept="Nothing was changed.",
                hint="Run `matting build`, or the stage that makes it, first.",
            )
    key = _key(job)
    ran = ledger.current(job.entry, key) is None
    if ran:
        listener.note(f"{job.entry}: {job.outputs[0]}")
        ledger.forget(job.entry)
        job.work(listener)
        ledger.enter(job.entry, key, job.outputs, {})
    return Outcome(job.entry, ran, time.monotonic() - began, job.outputs)


def holds(job: Job, ledger: Ledger) -> bool:
    """Whether the recorded result would come out the same again.  Touches nothing."""
    there = all(path.is_file() for path in job.inputs.values())
    return there and ledger.current(job.entry, _key(job)) is not None


def _key(job: Job) -> str:
    with os_errors(next(iter(job.inputs.values())), "read"):
        return key_of(job.inputs, job.parameters, job.tools)
