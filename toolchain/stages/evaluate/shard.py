"""Some frames through one model: the work that is done here, or sent to a worker."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.errors import EvaluationError, FrameError
from toolchain.frames.dataset import Fault, Item, Sample, fault_of
from toolchain.stages.evaluate.request import ONNX, ORIGINAL, Way
from toolchain.workspace.environment import code_digest, processor, version

if TYPE_CHECKING:
    from toolchain.definitions.arrays import Pixels
    from toolchain.runtimes.overlapped import Settled
    from toolchain.runtimes.queued import InferenceQueue, Prediction

TOOLS = ("torch", "onnx", "onnxruntime", "openvino", "numpy", "scipy", "pillow")


@dataclass(frozen=True)
class Task:
    """One frame to score.  `index`: in the dataset."""

    index: int
    item: Item


@dataclass(frozen=True)
class Scored:
    """`key`: of the frame's content; `scores`: in the order of METRICS."""

    index: int
    key: str
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Bad:
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

    way: Way
    tasks: tuple[Task, ...]
    root: Path | None
    threads: int


def score_here(
    way: Way, tasks: Iterable[Task], root: Path | None, threads: int = 0
) -> tuple[Scorer, Generator[Scored | Bad, None, None]]:
    """Load the model; outcomes come in the order of `tasks`, read, inferred and scored in overlap.

    Raises what loading raises; EvaluationError for outputs that are no numbers or of a wrong size.
    """
    from toolchain.runtimes.overlapped import overlapped

    queue = _load(way, threads)
    outcomes = overlapped(tasks, partial(_read, way, root), queue, partial(_score, way))
    return me(queue.executed), outcomes


def me(executed: str) -> Scorer:
    """This process as a scorer."""
    tools = tuple((tool, version(tool)) for tool in TOOLS)
    return Scorer(code_digest(), tools, processor(), executed)


@dataclass(frozen=True)
class _Ready:
    """A sample and its key."""

    key: str
    sample: Sample

    @property
    def src(self) -> Pixels:
        return self.sample.src

    @property
    def bgr(self) -> Pixels:
        return self.sample.bgr


def _read(way: Way, root: Path | None, task: Task) -> _Ready | Settled[Scored | Bad]:
    from toolchain.runtimes.overlapped import Settled

    try:
        raw = task.item.read()
        return _Ready(raw.key, raw.sample(way.size))
    except FrameError as error:
        return Settled(Bad(task.index, fault_of(error, task.item.name, root)))


def _score(way: Way, task: Task, ready: _Ready, found: Prediction) -> Scored | Bad:
    from toolchain.metrics.matte_errors import Matte
    from toolchain.metrics.resizing import resized
    from toolchain.metrics.scoring import is_finite, scores

    sample = ready.sample
    if not is_finite(Matte(found.pha, found.fgr)):
        raise EvaluationError(
            f"{way}: NaN or infinite values on frame {task.item.name}",
            kept="What was scored before is kept.",
            hint="`matting validate` tells where they arise.",
        )
    height, width = sample.alpha.shape
    size = width, height
    predicted = Matte(resized(found.pha, size), resized(found.fgr, size))
    return Scored(task.index, ready.key, scores(predicted, Matte(sample.alpha, sample.foreground)))


def _load(way: Way, threads: int) -> InferenceQueue:
    from toolchain.runtimes.queued import OneByOne

    if way.model == ORIGINAL:
        import torch

        from toolchain.runtimes.pytorch import PyTorchRuntime

        if threads:
            torch.set_num_threads(threads)
        return OneByOne(PyTorchRuntime(way.file, way.settings))
    if way.model == ONNX:
        from toolchain.runtimes.onnx_runtime import OnnxRuntime

        runtime = OnnxRuntime(way.file, plain=True, threads=threads)
        _check_size(way, runtime.size)
        return OneByOne(runtime)
    from toolchain.runtimes.openvino_async import OpenVinoQueue

    queue = OpenVinoQueue(way.file, way.hint, threads=threads)
    _check_size(way, queue.size)
    return queue


def _check_size(way: Way, size: tuple[int, int]) -> None:
    if size != way.size:
        raise EvaluationError(
            f"{way.file}: takes frames of {size[0]}x{size[1]}, expected "
            f"{way.size[0]}x{way.size[1]}",
            kept="Nothing was scored with it.",
            hint="Build it for this size, or give the --input-size it was built with.",
        )
