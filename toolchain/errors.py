"""Every error that the toolchain raises on purpose.

    ToolchainError                 exit code 1
    |-- UsageError                 exit code 2: arguments that contradict each other
    |-- CatalogError               model.yml: file, line, column, what was expected
    |-- WorkspaceError             the place for results: full disk, permissions, foreign files
    |   `-- BusyError              another process holds the lock
    |-- DownloadError              no source of a file gave the file
    |   |-- SourceError            one source failed; the next one is tried
    |   `-- IntegrityError         a file that is there differs from what was recorded
    |-- CheckpointError            unreadable, or not of this network
    |   `-- UnsafeCheckpointError  a pickle that would run code
    |-- ExportError                the network did not become the promised ONNX
    |-- ConversionError            the ONNX did not become the promised IR
    |-- QuantizationError          the 8-bit model can't be made, or is not good enough
    |-- FrameError                 a picture or clip that can't be used
    |-- EvaluationError            a dataset or a cluster that gave no trustworthy figures
    |-- ValidationError            outputs differ from the original's by more than the limits
    `-- ReportError                records that no report can be made from

Each carries up to three sentences: what was wrong, what was kept safe, what to do next.
The command line prints them and nothing else; no traceback reaches a user.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class ToolchainError(Exception):
    """Base of the tree.

    `message`: what was wrong, with file, key, expected and found.  `kept`: what was kept safe.
    `hint`: what to do next.
    """

    exit_code = 1

    def __init__(self, message: str, *, kept: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.kept = kept
        self.hint = hint

    def lines(self) -> list[str]:
        """The sentences that are there, in order."""
        return [line for line in (self.message, self.kept, self.hint) if line]


class UsageError(ToolchainError):
    """Arguments that contradict each other or name nothing."""

    exit_code = 2


class CatalogError(ToolchainError):
    """A mistake in a model.yml; its message is one line `file:line:column: ...`."""


class WorkspaceError(ToolchainError):
    """The place for results can't be read or written."""


class BusyError(WorkspaceError):
    """Another process holds the lock that this one needs."""


class DownloadError(ToolchainError):
    """No source gave the file."""


class SourceError(DownloadError):
    """One source failed.  `retry`: whether the same source may do better in a moment."""

    def __init__(
        self, message: str, *, kept: str = "", hint: str = "", retry: bool = False
    ) -> None:
        super().__init__(message, kept=kept, hint=hint)
        self.retry = retry


class IntegrityError(DownloadError):
    """A file differs from the digest that was published or recorded for it."""


class CheckpointError(ToolchainError):
    """A checkpoint that can't be read or is not of this network."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint whose pickle asks for more than tensors."""


class ExportError(ToolchainError):
    """The network did not become the promised ONNX."""


class ConversionError(ToolchainError):
    """The ONNX did not become the promised IR."""


class QuantizationError(ToolchainError):
    """The IR did not become an 8-bit one that is nearly as good."""


class FrameError(ToolchainError):
    """A picture, folder or clip that can't be used as frames.

    `path`: the one file at fault, with which the message begins; None where it is no one file.
    """

    def __init__(
        self, message: str, *, kept: str = "", hint: str = "", path: Path | None = None
    ) -> None:
        super().__init__(message, kept=kept, hint=hint)
        self.path = path


class EvaluationError(ToolchainError):
    """Models could not be evaluated: bad frames, outputs that are no numbers, a lost cluster."""


class ValidationError(ToolchainError):
    """The outputs differ from the original's by more than the limits allow.

    `verdict`: the content of validation.json where one was written, else None.
    """

    def __init__(
        self,
        message: str,
        *,
        kept: str = "",
        hint: str = "",
        verdict: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, kept=kept, hint=hint)
        self.verdict = verdict


class ReportError(ToolchainError):
    """Records of a build that are unreadable, or speak of other files than those that are there."""
