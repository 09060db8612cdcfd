"""From weights to a verified IR: the stages in order; up-to-date results are kept."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolchain.catalog.arguments import conversion_settings
from toolchain.definitions.variants import INT8
from toolchain.errors import BusyError, ToolchainError, ValidationError
from toolchain.pipeline.job import Forecast, Outcome, run_job
from toolchain.pipeline.jobs import create_jobs
from toolchain.pipeline.obtain import obtain_checkpoint, plan_checkpoint
from toolchain.pipeline.request import ORDER, BuildRequest
from toolchain.progress import Listener, SilentListener
from toolchain.stages.quantize.request import require_nncf
from toolchain.workspace.atomic import os_errors, sweep
from toolchain.workspace.ledger import Ledger
from toolchain.workspace.locking import lock

Action = Literal["run", "keep"]
UNKNOWN = "unknown"  # the sha384 of a checkpoint that is not fetched yet


@dataclass(frozen=True)
class BuildResult:
    """Result of a build.

    Attributes:
        request: The request.
        outcomes: What ran and what was up to date.
        verdict: Content of validation.json, None if it was not requested.
        layers: Content of layers.json, None if it was not requested.
    """

    request: BuildRequest
    outcomes: tuple[Outcome, ...]
    verdict: Mapping[str, Any] | None
    layers: Mapping[str, Any] | None = None

    @property
    def anything_ran(self) -> bool:
        """Whether any stage had to run."""
        return any(outcome.ran for outcome in self.outcomes)


@dataclass(frozen=True)
class PlannedEntry:
    """What a build would do for one entry.

    Attributes:
        entry: Name of the entry.
        action: "run", or "keep" for what is up to date.
        detail: Files or reason.
    """

    entry: str
    action: Action
    detail: str


def build(request: BuildRequest, listener: Listener | None = None) -> BuildResult:
    """Run the stages of a request under the lock of the model's folder.

    Results of finished stages stay, and the next run continues from there.

    Raises:
        ToolchainError: A stage failed.
        ValidationError: The verdict is not a pass.
    """
    listener = listener or SilentListener()
    layout = request.layout
    _check_request(request)
    outcomes = []
    with lock_folder(layout.folder, listener):
        with os_errors(layout.folder, "write"):
            layout.folder.mkdir(parents=True, exist_ok=True)
            sweep(layout.folder)
        ledger = Ledger(layout.folder)
        for stage in ORDER:
            if stage not in request.stages:
                continue
            if stage == "download":
                outcomes.append(_obtain(request, listener))
                continue
            try:
                outcomes += [run_job(job, ledger, listener) for job in create_jobs(request, stage)]
            except ValidationError as failed:
                if stage == "validate" and "report" in request.stages and failed.verdict:
                    _report_fail(request, ledger, listener, failed)
                raise
    verdict = layers = None
    if {"validate", "report"}.intersection(request.stages):
        verdict = json.loads(layout.validation.read_text(encoding="utf-8"))
    if "layers" in request.stages:
        layers = json.loads(layout.layers.read_text(encoding="utf-8"))
    return BuildResult(request, tuple(outcomes), verdict, layers)


def plan_build(request: BuildRequest) -> tuple[PlannedEntry, ...]:
    """Plan what `build` would do, without network access or any change."""
    _check_request(request)
    forecast = Forecast(Ledger(request.layout.folder))
    seen: list[PlannedEntry] = []
    sha384: str | None = None
    for stage in ORDER:
        if stage not in request.stages:
            continue
        if stage == "download":
            fetching = plan_checkpoint(request)
            seen.append(
                PlannedEntry("download", "run" if fetching.runs else "keep", fetching.detail)
            )
            if fetching.new:
                forecast.planned[request.checkpoint] = fetching.sha256
                sha384 = fetching.sha384 or UNKNOWN
            continue
        for job in create_jobs(request, stage, sha384):
            made = ", ".join(map(str, job.outputs))
            seen.append(PlannedEntry(job.entry, "run" if forecast.runs(job) else "keep", made))
    return tuple(seen)


def _report_fail(
    request: BuildRequest, ledger: Ledger, listener: Listener, failed: ValidationError
) -> None:
    """Write the report of a failed verdict; an error here does not hide the verdict."""
    try:
        for job in create_jobs(request, "report"):
            run_job(job, ledger, listener)
        failed.hint += f" {request.layout.report} shows what differs, and where."
    except ToolchainError as error:
        listener.note(f"The report could not be written: {error.message}")


@contextlib.contextmanager
def lock_folder(folder: Path, listener: Listener) -> Iterator[None]:
    """Hold the lock of a folder; report if it has to wait for another process."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock(folder, 0.0))
        except BusyError:
            listener.note(f"{folder}: locked by another build; waiting")
            stack.enter_context(lock(folder))
        yield


def _check_request(request: BuildRequest) -> None:
    """Find mistakes in model.yml or the captures now, not after minutes of work."""
    if request.stages != ("download",):
        _ = request.export_settings
        conversion_settings(request.model)
    folders = request.captures if {"validate", "report"}.intersection(request.stages) else ()
    if INT8 in request.precisions and "quantize" in request.stages:
        require_nncf()
        folders += tuple(filter(None, (request.quantization.dataset,)))
    if folders:
        from toolchain.frames.pairs import read_pairs  # imports numpy

        for folder in folders:
            read_pairs(folder)


def _obtain(request: BuildRequest, listener: Listener) -> Outcome:
    began = time.monotonic()
    ran = obtain_checkpoint(request, listener)
    return Outcome("download", ran, time.monotonic() - began, (request.checkpoint,))
