"""Content of a report, from the records of a build."""

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
    """Images of one frame and one variant, as `data:` URLs.

    Attributes:
        run: Identifier of the run.
        label: Name of the run.
        alpha: Alpha matte.
        cutout: Foreground with alpha.
        heat: Differences of alpha from the original's.
        heat_foreground: Differences of the foreground from the original's.
        patches: Refined patches.
        worst: Position of the largest difference of alpha, x and y as shares of width and height.
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
    """Images of one frame, as `data:` URLs.

    Attributes:
        name: Name of the frame.
        kind: Kind of frame, for readers.
        width: Width of the images in pixels.
        height: Height of the images in pixels.
        src: The frame.
        plate: The clean plate.
        truth: Ground truth, None if it is not known.
        alpha: Alpha matte of the original.
        cutout: Foreground with alpha of the original.
        variants: Images of each run.
        table: Figures of each run.
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
    variants: tuple[VariantImages, ...]
    table: Table


@dataclass(frozen=True)
class Histogram:
    """Histogram of the differences of one output.

    Attributes:
        output: Name of the output.
        shares: Share of all values in each bin.
        limit: Limit of the largest difference, None without one.
        caption: What the histogram shows, as text.
    """

    output: str
    shares: tuple[float, ...]
    limit: float | None
    caption: str


@dataclass(frozen=True)
class VariantHistograms:
    """The differences of one run over the frames shown."""

    run: str
    label: str
    series: tuple[Histogram, ...]


@dataclass(frozen=True)
class ReportImages:
    """The part of the report for which the models are run."""

    frames: tuple[FrameImages, ...]
    histograms: tuple[VariantHistograms, ...]


@dataclass(frozen=True)
class Page:
    """The report, in reading order."""

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
    images: ReportImages
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
    images: ReportImages,
    provenance: tuple[Fact, ...],
    notes: tuple[str, ...] = (),
) -> Page:
    """Build the content of the report.

    Args:
        validation: Content of validation.json.
        evaluation: Content of evaluation.json, None without one.
        latency: Content of latency.json, None without one.
        published: Published accuracy.
        images: Frames and histograms.
        provenance: Origin of model and weights, in reading order.
        notes: Notes to the reader, for example on records that were left out.

    Returns:
        The content.
    """
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
        images=images,
        stages=stages_table(validation),
        latency=None if latency is None else latency_table(latency),
        limits=limits_table(validation),
        provenance=(
            *provenance,
            Fact("Checkpoint", str(facts.get("checkpoint", ""))),
            Fact("SHA-384 of the checkpoint", str(facts.get("checkpoint_sha384", ""))),
            Fact("Exported for", describe_settings(validation)),
        ),
        digests=digests_table(validation),
        versions=versions_table(validation),
        notes=notes,
        runs=tuple((get_variant(run).id, format_run_label(run)) for run in validation["runs"]),
        chosen=_chosen(validation),
    )


def _chosen(validation: Json) -> str:
    """Choose the run shown first: the first that failed, else the last, the farthest from f32."""
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
    """Describe the effect of rounding with these weights; "" if the verdict is a pass."""
    if validation["verdict"] == "pass":
        return ""
    return (
        f"PyTorch at float32 is off by {get_own_error(validation):.1e} from the network in "
        "float64 with these weights; limits are multiples of that."
    )
