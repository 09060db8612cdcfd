"""Some frames through one model: the work that is done here, or sent to a worker."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from toolchain.definitions.arrays import Pixels
from toolchain.definitions.variants import ONNX, ORIGINAL
from toolchain.errors import EvaluationError, FrameError
from toolchain.frames.dataset import Fault, Item, Sample
from toolchain.metrics.resizing import resized
from toolchain.metrics.score import Matte, all_scores
from toolchain.runtimes.inference_queue import InferenceQueue, Prediction, SequentialQueue
from toolchain.runtimes.onnx_runtime import OnnxRuntime
from toolchain.runtimes.openvino_async import OpenVinoQueue
from toolchain.runtimes.overlap import SkipInference, run_overlapped
from toolchain.runtimes.pytorch import PyTorchRuntime
from toolchain.stages.evaluate.request import EvaluatedModel
from toolchain.workspace.environment import code_digest, processor, version

TOOLS = ("torch", "onnx", "onnxruntime", "openvino", "numpy", "scipy", "pillow")


@dataclass(frozen=True)
class FrameTask:
    """One frame to score.  `index`: in the dataset."""

    index: int
    item: Item


@dataclass(frozen=True)
class ScoredFrame:
    """`key`: of the frame's content; `scores`: in the order of `definitions.metrics.METRICS`."""

    index: int
    key: str
    scores: tuple[float, ...]


@dataclass(frozen=True)
class BadFrame:
    """A frame that can't be used."""

    index: int
    fault: Fault


@dataclass(frozen=True)
class Scorer:
    """Who scored: what results depend on beside model and frames."""

    code: str
    tools: tuple[tuple[str, str], ...]
    processor: str
    executed: str


@dataclass(frozen=True)
class Shard:
    """What a worker gets: frames of one model.  `threads`: how many it may use, 0 for all."""

    model: EvaluatedModel
    tasks: tuple[FrameTask, ...]
    root: Path | None
    threads: int


def score_frames(
    model: EvaluatedModel, tasks: Iterable[FrameTask], root: Path | None, threads: int = 0
) -> tuple[Scorer, Generator[ScoredFrame | BadFrame, None, None]]:
    """Load the model; outcomes come in the order of `tasks`, read, inferred and scored in overlap.

    Raises what loading raises; EvaluationError for outputs that are no numbers or of a wrong size.
    """
    queue = _load(model, threads)
    outcomes = run_overlapped(tasks, partial(_read, model, root), queue, partial(_score, model))
    return current_scorer(queue.executed), outcomes


def current_scorer(executed: str) -> Scorer:
    """This process as a scorer."""
    tools = tuple((tool, version(tool)) for tool in TOOLS)
    return Scorer(code_digest(), tools, processor(), executed)


@dataclass(frozen=True)
class _KeyedSample:
    """A sample and its key."""

    key: str
    sample: Sample

    @property
    def src(self) -> Pixels:
        return self.sample.src

    @property
    def bgr(self) -> Pixels:
        return self.sample.bgr


def _read(
    model: EvaluatedModel, root: Path | None, task: FrameTask
) -> _KeyedSample | SkipInference[ScoredFrame | BadFrame]:
    try:
        raw = task.item.read()
        return _KeyedSample(raw.key, raw.decode(model.size))
    except FrameError as error:
        return SkipInference(BadFrame(task.index, Fault.from_error(error, task.item.name, root)))


def _score(
    model: EvaluatedModel, task: FrameTask, ready: _KeyedSample, found: Prediction
) -> ScoredFrame | BadFrame:
    sample = ready.sample
    if not Matte(found.pha, found.fgr).is_finite:
        raise EvaluationError(
            f"{model}: NaN or infinite values on frame {task.item.name}",
            kept="What was scored before is kept.",
            hint="`matting validate` tells where they arise.",
        )
    height, width = sample.alpha.shape
    size = width, height
    predicted = Matte(resized(found.pha, size), resized(found.fgr, size))
    return ScoredFrame(
        task.index, ready.key, all_scores(predicted, Matte(sample.alpha, sample.foreground))
    )


def _load(model: EvaluatedModel, threads: int) -> InferenceQueue:
    if model.variant.form == ORIGINAL:
        if threads:
            torch.set_num_threads(threads)
        return SequentialQueue(PyTorchRuntime(model.file, model.settings))
    if model.variant.form == ONNX:
        runtime = OnnxRuntime(model.file, plain=True, threads=threads)
        _check_size(model, runtime.size)
        return SequentialQueue(runtime)
    queue = OpenVinoQueue(model.file, model.variant.hint, threads=threads)
    _check_size(model, queue.size)
    return queue


def _check_size(model: EvaluatedModel, size: tuple[int, int]) -> None:
    if size != model.size:
        raise EvaluationError(
            f"{model.file}: takes frames of {size[0]}x{size[1]}, expected "
            f"{model.size[0]}x{model.size[1]}",
            kept="Nothing was scored with it.",
            hint="Build it for this size, or give the --input-size it was built with.",
        )
