"""Where one model's results lie: `<output>/public/<name>/...`, as the incumbent lays them out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """`output`: the root of the tree; `subdirectory`: with `/`; `name`: the model's name."""

    output: Path
    subdirectory: str
    name: str

    @property
    def folder(self) -> Path:
        """The model's own folder."""
        return self.output.joinpath(*self.subdirectory.split("/"))

    @property
    def onnx(self) -> Path:
        """The exported network."""
        return self.folder / f"{self.name}.onnx"

    def ir(self, precision: str) -> Path:
        """The IR's xml; its bin lies beside it."""
        return self.folder / precision / f"{self.name}.xml"

    @property
    def validation(self) -> Path:
        """The verdict."""
        return self.folder / "validation.json"

    @property
    def evaluation(self) -> Path:
        """The metrics; as csv and md beside it."""
        return self.folder / "evaluation.json"

    @property
    def latency(self) -> Path:
        """What a benchmark measured, where there was one."""
        return self.folder / "latency.json"

    @property
    def report(self) -> Path:
        """What people look at."""
        return self.folder / "report.html"

    @property
    def report_text(self) -> Path:
        """The same without pictures, as Markdown."""
        return self.folder / "report.md"

    @property
    def layers(self) -> Path:
        """The comparison of inner tensors."""
        return self.folder / "layers.json"

    @property
    def verdicts(self) -> tuple[Path, ...]:
        """All that speaks of the models, and is void when one of them changes."""
        tables = (self.evaluation.with_suffix(suffix) for suffix in (".csv", ".md"))
        reports = (self.report, self.report_text)
        return (self.validation, self.layers, self.evaluation, *tables, *reports)
