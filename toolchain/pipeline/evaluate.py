"""From built files and a dataset to their evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.builtin import read_published_accuracy
from toolchain.definitions.variants import HINTS, Hint
from toolchain.errors import ToolchainError, UsageError
from toolchain.frames.dataset import Dataset, Fault
from toolchain.frames.datasets import generated, open_dataset
from toolchain.pipeline.build import alone
from toolchain.pipeline.jobs import facts_of
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import Listener, SilentListener
from toolchain.stages.evaluate import (
    ONNX,
    ORIGINAL,
    EvaluateRequest,
    EvaluateResult,
    Way,
    evaluate,
    inspected,
)

MODELS = (ORIGINAL, ONNX, "FP32", "FP16", "FP16-INT8")


@dataclass(frozen=True)
class EvaluationRequest:
    """Evaluate what `build` made.

    `models`: of MODELS; empty for all that are there.  `hints`: for the IRs.  `dataset`: a folder,
    None for `frames` generated composites.  `seed`: of what is drawn for the dataset, and of the
    intervals.  The rest: see `EvaluateRequest`.
    """

    build: BuildRequest
    models: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ("f32",)
    dataset: Path | None = None
    backgrounds: Path | None = None
    frames: int = 24
    seed: int = 2026
    skip_bad: bool = False
    cluster: str | None = None
    workers: int | None = None


@dataclass(frozen=True)
class Plan:
    """What an evaluation would do.  `faults`: bad frames as far as a look at the files tells."""

    dataset: Dataset
    ways: tuple[Way, ...]
    target: Path
    faults: tuple[Fault, ...]


def evaluated(request: EvaluationRequest, listener: Listener | None = None) -> EvaluateResult:
    """Evaluate under the lock of the model's folder.

    Raises ToolchainError for a model that is not there, FrameError for a folder without frames,
    UsageError for arguments that contradict each other, and what `evaluate` raises.
    """
    talk = listener or SilentListener()
    dataset = _dataset(request)
    layout = request.build.layout
    with alone(layout.folder, talk):
        asked = EvaluateRequest(
            name=layout.name,
            dataset=dataset,
            ways=ways_of(request),
            target=layout.evaluation,
            facts=facts_of(request.build),
            skip_bad=request.skip_bad,
            cluster=request.cluster,
            workers=request.workers,
            seed=request.seed,
            published=read_published_accuracy().as_record(),
        )
        return evaluate(asked, talk)


def planned(request: EvaluationRequest) -> Plan:
    """What `evaluated` would do; touches nothing.  Raises as it does for what is not there."""
    dataset = _dataset(request)
    faults = (*dataset.faults, *inspected(dataset).values())
    return Plan(dataset, ways_of(request), request.build.layout.evaluation, faults)


def ways_of(request: EvaluationRequest) -> tuple[Way, ...]:
    """One for the original and the ONNX, one a hint for each IR; in the order of MODELS."""
    layout, settings = request.build.layout, request.build.export_settings
    files = {ORIGINAL: request.build.checkpoint, ONNX: layout.onnx}
    files |= {model: layout.ir(model) for model in MODELS if model not in files}
    wanted = request.models or tuple(model for model in MODELS if files[model].is_file())
    if not wanted:
        raise _missing("any model", layout.folder)
    ways = []
    for model in MODELS:
        if model not in wanted:
            continue
        hints = HINTS[:1] if model in (ORIGINAL, ONNX) else request.hints
        ways += [Way(model, hint, files[model], settings) for hint in hints]
    for way in ways:
        for path in way.files:
            if not path.is_file():
                raise _missing(way.model, path)
    return tuple(ways)


def _dataset(request: EvaluationRequest) -> Dataset:
    if request.dataset is not None:
        return open_dataset(request.dataset, request.backgrounds, request.seed)
    if request.backgrounds is not None:
        raise UsageError(
            "--backgrounds without --dataset: there are no foregrounds to put over them",
            hint="Name the folder of the foregrounds with --dataset.",
        )
    return generated(request.frames, request.seed)


def _missing(model: str, path: Path) -> ToolchainError:
    return ToolchainError(
        f"{path}: is not there, and evaluating {model} needs it",
        kept="Nothing was changed.",
        hint="Run `matting build` with the same --weights and --output first, or name other "
        "--models.",
    )
