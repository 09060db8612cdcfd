"""Paths of one model's results: `<output>/public/<name>/...`, as in Open Model Zoo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths of one model's results.

    Attributes:
        output: Root of the output tree.
        subdirectory: The model's folder below it, with `/`.
        name: The model's name.
    """

    output: Path
    subdirectory: str
    name: str

    @property
    def folder(self) -> Path:
        """The model's folder."""
        return self.output.joinpath(*self.subdirectory.split("/"))

    @property
    def onnx(self) -> Path:
        """The exported ONNX file."""
        return self.folder / f"{self.name}.onnx"

    def ir(self, precision: str) -> Path:
        """Path of the IR's xml; its bin is beside it."""
        return self.folder / precision / f"{self.name}.xml"

    @property
    def validation(self) -> Path:
        """The result of validation."""
        return self.folder / "validation.json"

    @property
    def evaluation(self) -> Path:
        """The result of evaluation; csv and md are beside it."""
        return self.folder / "evaluation.json"

    @property
    def latency(self) -> Path:
        """The latencies, if a benchmark was run."""
        return self.folder / "latency.json"

    @property
    def report(self) -> Path:
        """The report as HTML."""
        return self.folder / "report.html"

    @property
    def report_text(self) -> Path:
        """The report as Markdown, without images."""
        return self.folder / "report.md"

    @property
    def layers(self) -> Path:
        """The comparison of inner tensors."""
        return self.folder / "layers.json"

    @property
    def verdicts(self) -> tuple[Path, ...]:
        """Files that describe the models and become invalid when one of them changes."""
        tables = (self.evaluation.with_suffix(suffix) for suffix in (".csv", ".md"))
        reports = (self.report, self.report_text)
        return (self.validation, self.layers, self.evaluation, *tables, *reports)
