"""A failed variant, and an experiment that changes one thing about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from toolchain.definitions.variants import Variant
from toolchain.frames.frame import Frame
from toolchain.runtimes.base import Inference, Runtime
from toolchain.runtimes.onnx_runtime import OnnxRuntime
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.runtimes.pytorch import PyTorchRuntime

Outcome = tuple[Inference, Inference | None]  # the variant's outputs; the reference, if changed


@dataclass(frozen=True)
class Experiment:
    """One candidate cause of a failure.

    Attributes:
        hypothesis: Name of the cause.
        found: What was inspected or changed, one sentence.
        run: Returns the outputs of the changed variant, and the changed reference, None if it is
            the same.  None if inspection ruled the cause out.
    """

    hypothesis: str
    found: str
    run: Callable[[], Outcome] | None


@dataclass(frozen=True)
class FailedVariant:
    """A variant that failed, and a frame on which it failed.

    Attributes:
        file: The ONNX, or the IR's xml.
        variant: The variant.
        runtime: The file, loaded.
        checkpoint: File of the weights.
        original: The network of the checkpoint in PyTorch.
        reference: Outputs of the original on the frame.
        frame: The frame.
    """

    file: Path
    variant: Variant
    runtime: Runtime
    checkpoint: Path
    original: PyTorchRuntime
    reference: Inference
    frame: Frame

    @property
    def is_onnx(self) -> bool:
        """Whether it is an ONNX file, not an IR."""
        return self.file.suffix == ".onnx"

    @cached_property
    def found(self) -> Inference:
        """Outputs of the unchanged variant."""
        return self.runtime.infer(self.frame.src, self.frame.bgr)

    def edited(self, edit: Callable[[Any], None]) -> Runtime:
        """Load the variant with its graph (onnx.ModelProto or openvino.Model) changed in memory."""
        if self.is_onnx:
            return OnnxRuntime(self.file, edit)
        return OpenVinoRuntime(self.file, self.variant.hint, self.variant.device, edit)

    def replaced(self, hypothesis: str, found: str, load: Callable[[], Runtime]) -> Experiment:
        """Build an experiment that runs another runtime instead of this variant's."""
        return Experiment(
            hypothesis, found, lambda: (load().infer(self.frame.src, self.frame.bgr), None)
        )
