"""Records of the report stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReportRequest:
    """What to report, on which frames.

    Attributes:
        checkpoint: File of the weights.
        onnx: The exported ONNX.
        irs: Pairs of precision and xml, of every precision in `validation`.
        validation: validation.json.
        html: The page to write.
        markdown: The same as Markdown, to write.
        evaluation: evaluation.json, None without one.
        latency: latency.json, None without one.
        composites: Number of generated frames that are shown.
        seed: Seed of the first generated frame.
        captures: Folders of real frames.
        at_most: Number of pairs of `captures` that are shown.
        provenance: Pairs of name and text on the origin of model and weights.
    """

    checkpoint: Path
    onnx: Path
    irs: tuple[tuple[str, Path], ...]
    validation: Path
    html: Path
    markdown: Path
    evaluation: Path | None = None
    latency: Path | None = None
    composites: int = 3
    seed: int = 2026
    captures: tuple[Path, ...] = ()
    at_most: int = 3
    provenance: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ReportResult:
    """Result of the stage.

    Attributes:
        verdict: Verdict of the validation.
        html: The page.
        markdown: The same as Markdown.
        frames: Names of the frames that are shown.
    """

    verdict: str
    html: Path
    markdown: Path
    frames: tuple[str, ...]
