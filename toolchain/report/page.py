"""Everything that a report shows, gathered from the records of a build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolchain.catalog.builtin import Published
from toolchain.definitions.metrics import METRICS, change_of
from toolchain.definitions.variants import FP32, ONNX
from toolchain.report.record_tables import (
    accuracy_table,
    describe_settings,
    digests_table,
    latency_table,
    versions_table,
)
from toolchain.report.run_tables import (
    agreement_table,
    compute_error_ratio,
    describe_verdict,
    format_run_label,
    get_own_error,
    get_variant,
    limits_table,
    list_failures,
    stages_table,
)
from toolchain.report.table import Table
from toolchain.report.text import Fact, format_scientific

Json = Mapping[str, Any]
VERDICTS = {"pass": "PASS", "fail": "FAIL", "undecidable": "UNDECIDABLE"}


@dataclass(frozen=True)
class VariantImages:
    """One frame through one way of running.  Pictures are `data:` addresses.

    `worst`: where alpha differs most, x and y as shares of width and height.
    """

    run: str
    label: str
    alpha: str
    cutout: str
    heat: str
    heat_foreground: str
    patches: str
    worst: tuple[float, float]


@dataclass(frozen=True)
class FrameImages:
    """One frame: `width`, `height` of its pictures, what the original made of it, each run's.

    `truth`: the true matte, None where it is not known.
    """

    name: str
    kind: str
    width: int
    height: int
    src: str
    plate: str
    truth: str | None
    alpha: str
    cutout: str
    shots: tuple[VariantImages, ...]
    table: Table


@dataclass(frozen=True)
class Histogram:
    """How often which difference occurs in one output; `limit`: on its largest, if any."""

    output: str
    shares: tuple[float, ...]
    limit: float | None
    said: str


@dataclass(frozen=True)
class VariantHistograms:
    """The differences of one run over the frames shown."""

    run: str
    label: str
    series: tuple[Histogram, ...]


@dataclass(frozen=True)
class ReportImages:
    """What only the models themselves can tell."""

    frames: tuple[FrameImages, ...]
    spreads: tuple[VariantHistograms, ...]


@dataclass(frozen=True)
class Page:
    """The report, in the order in which it is read."""

    name: str
    passed: bool
    verdict: str
    headline: str
    demonstration: bool
    weights: str
    tiles: tuple[Fact, ...]
    failures: tuple[tuple[str, tuple[str, ...], Table | None], ...]
    rounding: str
    accuracy: Table
    agreement: Table
    pictures: ReportImages
    stages: Table | None
    latency: Table | None
    limits: Table
    provenance: tuple[Fact, ...]
    digests: Table
    versions: Table
    notes: tuple[str, ...]
    runs: tuple[tuple[str, str], ...]
    chosen: str


def build_page(
    validation: Json,
    evaluation: Json | None,
    latency: Json | None,
    published: Published,
    pictures: ReportImages,
    provenance: tuple[Fact, ...],
    notes: tuple[str, ...] = (),
) -> Page:
    """Gather the report.  `provenance`: where model and weights come from, in order."""
    facts = validation["facts"]
    return Page(
        name=validation["model"],
        passed=validation["verdict"] == "pass",
        verdict=VERDICTS[validation["verdict"]],
        headline=describe_verdict(validation),
        demonstration=facts.get("weights") == "bundled",
        weights=f"{facts.get('weights', 'unknown')}: {facts.get('weights_are', 'not recorded')}",
        tiles=_tiles(validation),
        failures=tuple(list_failures(validation)),
        rounding=_rounding(validation),
        accuracy=accuracy_table(validation, evaluation, published),
        agreement=agreement_table(validation),
        pictures=pictures,
        stages=stages_table(validation),
        latency=None if latency is None else latency_table(latency),
        limits=limits_table(validation),
        provenance=(
            *provenance,
            Fact("Checkpoint", str(facts.get("checkpoint", ""))),
            Fact("Its sha384", str(facts.get("checkpoint_sha384", ""))),
            Fact("Exported for", describe_settings(validation)),
        ),
        digests=digests_table(validation),
        versions=versions_table(validation),
        notes=notes,
        runs=tuple((get_variant(run).id, format_run_label(run)) for run in validation["runs"]),
        chosen=_chosen(validation),
    )


def _chosen(validation: Json) -> str:
    """The run that is shown first: one that failed, else the last, the farthest from f32."""
    failed = [run for run in validation["runs"] if run["verdict"] != "pass"]
    return get_variant((failed or validation["runs"][-1:])[0]).id if validation["runs"] else ""


def _tiles(validation: Json) -> tuple[Fact, ...]:
    found = validation["runs"]
    passed = sum(run["verdict"] == "pass" for run in found)
    tiles = [Fact("variants passed", f"{passed} of {len(found)}")]
    exact = [run for run in found if run["hint"] == "f32" and run["form"] in (ONNX, FP32)]
    ratios = [ratio for run in exact if (ratio := compute_error_ratio(run)) is not None]
    if ratios:
        own = format_scientific(get_own_error(validation))
        tiles.append(
            Fact(
                f"largest error of ONNX and FP32 at f32, as a multiple of PyTorch's own ({own})",
                f"{max(ratios):.1f} \u00d7",
            )
        )
    metric = METRICS[0]
    key = change_of(metric.key)
    changed = [
        (run["figures"][key], format_run_label(run), run["metrics"][metric.key])
        for run in found
        if run["figures"].get(key) is not None and run.get("metrics")
    ]
    original = validation["original"]["metrics"]
    if original and changed:
        _, label, value = max(changed)
        tiles.append(
            Fact(
                f"{metric.title}, original \u2192 {label}, the largest change",
                f"{original[metric.key]:.3f} \u2192 {value:.3f}",
            )
        )
    return tuple(tiles)


def _rounding(validation: Json) -> str:
    """What the weights themselves do to rounding; "" where the verdict is a pass."""
    if validation["verdict"] == "pass":
        return ""
    return (
        f"PyTorch at float32 is off by {get_own_error(validation):.1e} from the network in "
        "float64 with these weights; limits are multiples of that."
    )
