"""Scores of some frames by one model, computed in this process or by a worker."""

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
from toolchain.metrics.resizing import resize
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
    """One frame to score.

    Attributes:
        index: Index in the dataset.
        item: The frame.
    """

    index: int
    item: Item


@dataclass(frozen=True)
class ScoredFrame:
    """Scores of one frame.

    Attributes:
        index: Index in the dataset.
        key: Key of the content of the frame.
        scores: In the order of `definitions.metrics.METRICS`.
    """

    index: int
    key: str
    scores: tuple[float, ...]


@dataclass(frozen=True)
class BadFrame:
    """A frame that cannot be used."""

    index: int
    fault: Fault


@dataclass(frozen=True)
class Scorer:
    """What scores depend on in addition to model and frames."""

    code: str
    tools: tuple[tuple[str, str], ...]
    processor: str
    executed: str


@dataclass(frozen=True)
class Shard:
    """Frames to score with one model.

    Attributes:
        model: The model.
        tasks: The frames.
        root: Folder of the dataset, for messages.
        threads: Number of threads, 0 for all.
    """

    model: EvaluatedModel
    tasks: tuple[FrameTask, ...]
    root: Path | None
    threads: int


def score_frames(
    model: EvaluatedModel, tasks: Iterable[FrameTask], root: Path | None, threads: int = 0
) -> tuple[Scorer, Generator[ScoredFrame | BadFrame, None, None]]:
    """Load a model and score frames; reading, inference and scoring overlap.

    Args:
        model: The model.
        tasks: The frames.
        root: Folder of the dataset, for messages.
        threads: Number of threads, 0 for all.

    Returns:
        The scorer, and the outcomes in the order of `tasks`.

    Raises:
        EvaluationError: The model has another size, or an output is NaN or infinite.
        ToolchainError: The model cannot be loaded.
    """
    queue = _load(model, threads)
    outcomes = run_overlapped(tasks, partial(_read, model, root), queue, partial(_score, model))
    return current_scorer(queue.executed), outcomes


def current_scorer(executed: str) -> Scorer:
    """Describe this process as a scorer."""
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
            kept="Existing scores are kept.",
            hint="`matting validate` finds the tensor where they first occur.",
        )
    height, width = sample.alpha.shape
    size = width, height
    predicted = Matte(resize(found.pha, size), resize(found.fgr, size))
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
            kept="It was not used.",
            hint="Build it for this size, or use the --input-size that it was built with.",
        )
