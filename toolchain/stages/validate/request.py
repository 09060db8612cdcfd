"""Records of the validate stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolchain.catalog.arguments import ExportSettings
from toolchain.catalog.records import Limits, Tolerance
from toolchain.definitions.metrics import Grade
from toolchain.definitions.variants import Variant

Verdict = Literal["pass", "fail", "undecidable"]


@dataclass(frozen=True)
class ValidateRequest:
    """What to compare, on which frames, under which limits.

    Attributes:
        name: Name of the results.
        checkpoint: File of the weights.
        onnx: The exported ONNX.
        irs: Pairs of precision and xml.
        settings: Settings of the network.
        tolerances: Limits by variant.
        target: validation.json.
        facts: Pairs that every file of the build records.
        composites: Number of generated frames, whose ground truth is known.
        seed: Seed of the first generated frame.
        captures: Folders of real frames, see `frames.pairs.read_pairs`.
        devices: Devices by OpenVINO's names; each IR is run on each, at f32 and at the default.
        scale: Divisor of the IRs' input values, one or one per channel.
        require_default: Worst grade that is accepted at the device's default precision, "" for
            any.
    """

    name: str
    checkpoint: Path
    onnx: Path
    irs: tuple[tuple[str, Path], ...]
    settings: ExportSettings
    tolerances: tuple[Tolerance, ...]
    target: Path
    facts: tuple[tuple[str, str], ...] = ()
    composites: int = 6
    seed: int = 2026
    captures: tuple[Path, ...] = ()
    devices: tuple[str, ...] = ("CPU",)
    scale: tuple[float, ...] = (255.0,)
    require_default: Grade | Literal[""] = ""


@dataclass(frozen=True)
class Run:
    """One variant as measured.

    Attributes:
        variant: The variant.
        executed: Precision that it was computed in.
        figures: Value by figure, see `definitions.metrics.FIGURES`.
        bases: Base of relative limits by figure.
        details: Everything else, for JSON.
        limits: Its limits, None if there are none.
        failures: What is wrong, one sentence each.
        faults: Those of `failures` that no conditioning of the weights can excuse.
    """

    variant: Variant
    executed: str
    figures: dict[str, float | None]
    bases: dict[str, float | None]
    details: dict[str, Any]
    limits: Limits | None
    failures: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


@dataclass(frozen=True)
class ValidateResult:
    """Result of the stage.

    Attributes:
        verdict: "pass", "fail", or "undecidable" for weights that amplify rounding too much.
        runs: The variants.
        target: validation.json.
    """

    verdict: Verdict
    runs: tuple[Run, ...]
    target: Path
