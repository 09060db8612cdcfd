"""One entry of the ledger: work that is done only while its recorded result does not hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.errors import ToolchainError
from toolchain.progress import Listener
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import file_digest
from toolchain.workspace.ledger import Ledger, compute_key


@dataclass(frozen=True)
class Job:
    """Work whose result is recorded in the ledger.

    Attributes:
        stage: Name of the stage.
        entry: Name of the ledger's entry.
        inputs: Files by a name that does not depend on their path.
        parameters: Everything else that the result depends on.
        tools: Distributions whose versions the result depends on.
        outputs: Files that it makes.
        work: Makes them.
        invalidates: Files about the outputs, which are removed before these change.
    """

    stage: str
    entry: str
    inputs: Mapping[str, Path]
    parameters: Mapping[str, object]
    tools: tuple[str, ...]
    outputs: tuple[Path, ...]
    work: Callable[[Listener], object]
    invalidates: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """`ran` is False where the earlier result still held; `seconds`: wall time."""

    entry: str
    ran: bool
    seconds: float
    files: tuple[Path, ...]


def run_job(job: Job, ledger: Ledger, listener: Listener) -> Outcome:
    """Do the job unless its result holds.

    Raises what the work raises, and ToolchainError for an input that is not there.
    """
    began = time.monotonic()
    key = _key_of(job, {name: _digest(job, path) for name, path in job.inputs.items()})
    ran = ledger.current(job.entry, key) is None
    if ran:
        listener.note(f"{job.entry}: {job.outputs[0]}")
        ledger.forget(job.entry)
        for path in job.invalidates:
            with os_errors(path, "remove"):
                path.unlink(missing_ok=True)
        job.work(listener)
        ledger.enter(job.entry, key, job.outputs, {})
    return Outcome(job.entry, ran, time.monotonic() - began, job.outputs)


@dataclass
class Forecast:
    """Which of the jobs that follow each other would run.  Touches nothing.

    `coming`: the digests of files that will be made or fetched, None where nobody can know.
    The same work gives the same bytes, so a file that is only to be repaired is known.
    """

    ledger: Ledger
    coming: dict[Path, str | None] = field(default_factory=dict)
    _invalid: set[Path] = field(default_factory=set)

    def runs(self, job: Job) -> bool:
        """Whether `run_job` would do this job, after those that were asked about before.

        Raises as `run_job` for an input that is neither there nor coming.
        """
        digests = {
            name: self.coming[path] if path in self.coming else _digest(job, path)
            for name, path in job.inputs.items()
        }
        known = {name: digest for name, digest in digests.items() if digest is not None}
        key = _key_of(job, known) if len(known) == len(digests) else None
        invalid = self._invalid.intersection(job.outputs)
        if key is not None and not invalid and self.ledger.current(job.entry, key) is not None:
            return False
        self._invalid.update(job.invalidates)
        for path in job.outputs:
            self.coming[path] = None if key is None else self.ledger.recorded(job.entry, path, key)
        return True


def _digest(job: Job, path: Path) -> str:
    if not path.is_file():
        raise ToolchainError(
            f"{path}: not found; the stage {job.stage} needs it",
            hint="Run `matting build`, or the stage that makes it, first.",
        )
    with os_errors(path, "read"):
        return str(file_digest(path))


def _key_of(job: Job, digests: Mapping[str, str]) -> str:
    return compute_key({}, {"inputs": digests, "parameters": job.parameters}, job.tools)
