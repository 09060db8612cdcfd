"""All errors that the toolchain raises deliberately.

    ToolchainError                 exit code 1
    |-- UsageError                 exit code 2: invalid or contradictory arguments
    |-- CatalogError               invalid model.yml: file, line, column, what was expected
    |-- WorkspaceError             the output folder: full disk, permissions, unexpected files
    |   `-- BusyError              another process holds the lock
    |-- DownloadError              no source provided the file
    |   |-- SourceError            one source failed; the next one is tried
    |   `-- IntegrityError         a file does not match its published or recorded digest
    |-- CheckpointError            unreadable, or not a checkpoint of this network
    |   `-- UnsafeCheckpointError  a pickle that would run code
    |-- ExportError                the export to ONNX failed
    |-- ConversionError            the conversion to IR failed
    |-- QuantizationError          the 8-bit model cannot be built, or is not accurate enough
    |-- FrameError                 an image or video that cannot be used
    |-- EvaluationError            a dataset or cluster without reliable results
    |-- ValidationError            outputs differ from the original's by more than the limits
    |-- ReportError                records from which no report can be built
    |-- PackageError               a build that cannot be packaged: not validated, or changed
    `-- PackageFormatError         a package that is damaged, changed, unsafe or gives other outputs
        `-- SignatureError         not signed, or not by the owner of this key

Each carries up to three sentences: what was wrong, what was kept safe, what to do next.
The command line prints these sentences without a traceback.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class ToolchainError(Exception):
    """Base class.

    Attributes:
        exit_code: Exit code of the command line.
        message: What was wrong, with file, key, expected and found value.
        kept: What was kept safe.
        hint: What to do next.
    """

    exit_code = 1

    def __init__(self, message: str, *, kept: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.kept = kept
        self.hint = hint

    def lines(self) -> list[str]:
        """Return the sentences that are not empty, in order."""
        return [line for line in (self.message, self.kept, self.hint) if line]


class UsageError(ToolchainError):
    """Invalid or contradictory arguments."""

    exit_code = 2


class CatalogError(ToolchainError):
    """Invalid model.yml; the message is one line `file:line:column: ...`."""


class WorkspaceError(ToolchainError):
    """The output folder cannot be read or written."""


class BusyError(WorkspaceError):
    """Another process holds the lock."""


class DownloadError(ToolchainError):
    """No source provided the file."""


class SourceError(DownloadError):
    """One source failed."""


class IntegrityError(DownloadError):
    """A file does not match its published or recorded digest."""


class CheckpointError(ToolchainError):
    """A checkpoint that is unreadable or does not belong to this network."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint whose pickle contains more than tensors."""


class ExportError(ToolchainError):
    """The export to ONNX failed."""


class ConversionError(ToolchainError):
    """The conversion to IR failed."""


class QuantizationError(ToolchainError):
    """The 8-bit model cannot be built, or is not accurate enough."""


class FrameError(ToolchainError):
    """An image, folder or video that cannot be used.

    Attributes:
        path: The file at fault, with which the message begins; None if no single file is.
    """

    def __init__(
        self, message: str, *, kept: str = "", hint: str = "", path: Path | None = None
    ) -> None:
        super().__init__(message, kept=kept, hint=hint)
        self.path = path


class EvaluationError(ToolchainError):
    """Evaluation failed: invalid frames, non-finite outputs, a lost cluster."""


class ValidationError(ToolchainError):
    """The outputs differ from the original's by more than the limits.

    Attributes:
        verdict: Content of validation.json if it was written, else None.
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
    """Records of a build are unreadable, or describe other files than those present."""


class PackageError(ToolchainError):
    """A build that cannot be packaged: not validated, failed, or changed since."""


class PackageFormatError(ToolchainError):
    """A package that does not exist, is damaged or unsafe, or differs from its manifest."""


class SignatureError(PackageFormatError):
    """A package that is not signed, or not by the owner of the key."""
