"""A run that failed, and one thing done otherwise with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from toolchain.definitions.variants import Hint
from toolchain.frames.frame import Frame
from toolchain.runtimes.base import Inference, Runtime
from toolchain.runtimes.onnx_runtime import OnnxRuntime
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.runtimes.pytorch import PyTorchRuntime


@dataclass(frozen=True)
class Experiment:
    """`found`: what was looked at or changed, one sentence.

    `run`: gives what the changed form infers and what to hold it against; None where looking was
    enough to rule the hypothesis out.
    """

    hypothesis: str
    found: str
    run: Callable[[], tuple[Inference, Inference]] | None


@dataclass(frozen=True)
class Suspect:
    """A form that failed, as a file and loaded, and a frame on which it did.

    `original`: the network that it should equal, of `checkpoint`.
    """

    file: Path
    hint: Hint
    runtime: Runtime
    original: PyTorchRuntime
    checkpoint: Path
    frame: Frame

    @property
    def is_onnx(self) -> bool:
        """Whether it is an ONNX file; else an IR."""
        return self.file.suffix == ".onnx"

    @cached_property
    def found(self) -> Inference:
        """What it infers as it is."""
        return self.runtime.infer(self.frame.src, self.frame.bgr)

    @cached_property
    def reference(self) -> Inference:
        """What the original infers."""
        return self.original.infer(self.frame.src, self.frame.bgr)

    def edited(self, edit: Callable[[Any], None]) -> Runtime:
        """The same form with its graph (onnx.ModelProto or openvino.Model) changed in memory."""
        if self.is_onnx:
            return OnnxRuntime(self.file, edit)
        return OpenVinoRuntime(self.file, self.hint, self.device, edit)

    @property
    def device(self) -> str:
        """Where it runs."""
        return str(self.runtime.conditions["device"])

    def in_place(self, hypothesis: str, found: str, other: Callable[[], Runtime]) -> Experiment:
        """An experiment with another runtime in this one's place."""
        return Experiment(
            hypothesis,
            found,
            lambda: (other().infer(self.frame.src, self.frame.bgr), self.reference),
        )
