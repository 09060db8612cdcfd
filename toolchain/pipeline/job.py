"""Jobs: work that is skipped while its recorded result is up to date."""

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
        outputs: Files that it writes.
        work: Writes them.
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
    """Outcome of a job.

    Attributes:
        entry: Name of the ledger's entry.
        ran: Whether the work was done; if not, the recorded result was up to date.
        seconds: Wall time.
        files: The files that the job writes.
    """

    entry: str
    ran: bool
    seconds: float
    files: tuple[Path, ...]


def run_job(job: Job, ledger: Ledger, listener: Listener) -> Outcome:
    """Do the job unless its result is up to date.

    Args:
        job: The job.
        ledger: Records of results.
        listener: Listener for progress.

    Returns:
        The outcome.

    Raises:
        ToolchainError: An input does not exist, or the work fails.
    """
    began = time.monotonic()
    key = _compute_key(job, {name: _digest(job, path) for name, path in job.inputs.items()})
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
    """Predicts which of a sequence of jobs would run, without any change.

    Attributes:
        ledger: Records of results.
        planned: Digests of files that would be written or fetched, None if unknown.  The same work
            writes the same bytes, so the digest of a file that would only be repaired is known.
    """

    ledger: Ledger
    planned: dict[Path, str | None] = field(default_factory=dict)
    _invalid: set[Path] = field(default_factory=set)

    def runs(self, job: Job) -> bool:
        """Return whether `run_job` would do this job, after the jobs of previous calls.

        Raises:
            ToolchainError: An input neither exists nor is planned.
        """
        digests = {
            name: self.planned[path] if path in self.planned else _digest(job, path)
            for name, path in job.inputs.items()
        }
        known = {name: digest for name, digest in digests.items() if digest is not None}
        key = _compute_key(job, known) if len(known) == len(digests) else None
        invalid = self._invalid.intersection(job.outputs)
        if key is not None and not invalid and self.ledger.current(job.entry, key) is not None:
            return False
        self._invalid.update(job.invalidates)
        for path in job.outputs:
            self.planned[path] = None if key is None else self.ledger.recorded(job.entry, path, key)
        return True


def _digest(job: Job, path: Path) -> str:
    if not path.is_file():
        raise ToolchainError(
            f"{path}: not found; the stage {job.stage} needs it",
            hint="Run `matting build`, or the stage that writes it, first.",
        )
    with os_errors(path, "read"):
        return str(file_digest(path))


def _compute_key(job: Job, digests: Mapping[str, str]) -> str:
    return compute_key({}, {"inputs": digests, "parameters": job.parameters}, job.tools)
