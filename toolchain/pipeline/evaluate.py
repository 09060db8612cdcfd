"""Evaluation of built models on a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.builtin import read_published_accuracy
from toolchain.definitions.variants import FORMS, ONNX, ORIGINAL, Hint, Variant, hints_of
from toolchain.errors import ToolchainError, UsageError
from toolchain.frames.dataset import Dataset, Fault
from toolchain.frames.generated_dataset import make_generated
from toolchain.frames.open_dataset import open_dataset
from toolchain.pipeline.build import lock_folder
from toolchain.pipeline.jobs import collect_facts
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import Listener, SilentListener
from toolchain.stages.evaluate.evaluate import evaluate, inspect_frames
from toolchain.stages.evaluate.request import EvaluatedModel, EvaluateRequest, EvaluateResult


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate.

    Attributes:
        build: The build.
        forms: Forms to evaluate, of `definitions.variants.FORMS`; empty for all that exist.
        hints: Precision hints for the IRs.
        dataset: Folder of frames, None for generated ones.
        backgrounds: Folder of backgrounds for a dataset of foregrounds.
        frames: Number of generated frames.
        seed: Seed of backgrounds, generated frames and intervals.
        skip_bad: See `EvaluateRequest`.
        cluster: See `EvaluateRequest`.
        workers: See `EvaluateRequest`.
    """

    build: BuildRequest
    forms: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ("f32",)
    dataset: Path | None = None
    backgrounds: Path | None = None
    frames: int = 24
    seed: int = 2026
    skip_bad: bool = False
    cluster: str | None = None
    workers: int | None = None


@dataclass(frozen=True)
class EvaluationPlan:
    """What an evaluation would do.

    Attributes:
        dataset: The frames.
        models: The models.
        target: evaluation.json.
        faults: Bad frames, as far as file headers show them.
    """

    dataset: Dataset
    models: tuple[EvaluatedModel, ...]
    target: Path
    faults: tuple[Fault, ...]


def evaluate_build(request: EvaluationRequest, listener: Listener | None = None) -> EvaluateResult:
    """Evaluate under the lock of the model's folder.

    Raises:
        ToolchainError: A model does not exist, or what `evaluate` raises.
        FrameError: The folder has no frames.
        UsageError: Arguments contradict each other.
    """
    listener = listener or SilentListener()
    plan = plan_evaluation(request, inspect=False)
    layout = request.build.layout
    stage_request = EvaluateRequest(
        name=layout.name,
        dataset=plan.dataset,
        models=plan.models,
        target=plan.target,
        facts=collect_facts(request.build),
        skip_bad=request.skip_bad,
        cluster=request.cluster,
        workers=request.workers,
        seed=request.seed,
        published=read_published_accuracy().as_record(),
    )
    with lock_folder(layout.folder, listener):
        return evaluate(stage_request, listener)


def plan_evaluation(request: EvaluationRequest, *, inspect: bool = True) -> EvaluationPlan:
    """Plan what `evaluate_build` would do, without any change.

    Args:
        request: What to evaluate.
        inspect: Look for bad frames.

    Raises:
        As `evaluate_build`.
    """
    dataset = _open_dataset(request)
    models = _find_models(request)
    found = inspect_frames(dataset).values() if inspect else ()
    target = request.build.layout.evaluation
    return EvaluationPlan(dataset, models, target, (*dataset.faults, *found))


def _find_models(request: EvaluationRequest) -> tuple[EvaluatedModel, ...]:
    """The original and the ONNX at f32, each IR at each hint; in the order of FORMS."""
    layout, settings = request.build.layout, request.build.export_settings
    files = {form: layout.ir(form) for form in FORMS}
    files |= {ORIGINAL: request.build.checkpoint, ONNX: layout.onnx}
    wanted = request.forms or tuple(form for form in FORMS if files[form].is_file())
    if not wanted:
        raise _missing("any model", layout.folder)
    models = []
    for form in FORMS:
        if form in wanted:
            possible = hints_of(form)
            hints = [hint for hint in possible if hint in request.hints] or possible[:1]
            models += [EvaluatedModel(Variant(form, hint), files[form], settings) for hint in hints]
    for model in models:
        for path in model.files:
            if not path.is_file():
                raise _missing(model.variant.form, path)
    return tuple(models)


def _open_dataset(request: EvaluationRequest) -> Dataset:
    if request.dataset is not None:
        return open_dataset(request.dataset, request.backgrounds, request.seed)
    if request.backgrounds is not None:
        raise UsageError(
            "--backgrounds without --dataset: there are no foregrounds to put over them",
            hint="Name the folder of the foregrounds with --dataset.",
        )
    return make_generated(request.frames, request.seed)


def _missing(model: str, path: Path) -> ToolchainError:
    return ToolchainError(
        f"{path}: not found; evaluating {model} needs it",
        kept="No results were written.",
        hint="Run `matting build` with the same --weights and --output first, or name other "
        "--models.",
    )
