"""The runs of a validation as tables: differences, limits, causes of failures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from toolchain.definitions.metrics import LABELS, max_error_of
from toolchain.definitions.ports import OUTPUTS
from toolchain.definitions.variants import FP16, Variant
from toolchain.metrics.verdict import ratio_to_bound
from toolchain.report.table import EMPTY_CELL, Cell, Table, number_cell
from toolchain.report.text import format_scientific

Json = Mapping[str, Any]
ERROR_NOTE = (
    "Error: largest absolute difference from the network in float64, on values 0..1, outside "
    "patches that were chosen differently. Ratio: the same error as a multiple of what PyTorch at "
    "float32 errs with these weights; about 1 is rounding only."
)
GRADE_NOTE = (
    "Grade, by the mean difference from PyTorch at float32: A is at most a quarter of an 8-bit "
    "step, B at most one step, C more. For C compile with INFERENCE_PRECISION_HINT=f32."
)
MANY = 100  # times a limit; larger multiples are written with an exponent


def get_variant(run: Json) -> Variant:
    """Return the variant of a run."""
    return Variant.from_json(run)


def format_run_label(run: Json) -> str:
    """Return a label for people."""
    return get_variant(run).label(run.get("executed") or "")


def get_own_error(validation: Json) -> float:
    """Return the largest error of PyTorch at float32 in any output; infinite if not finite."""
    own = validation["reference"]["own_error"]
    found = [own[name]["max"] for name in OUTPUTS if name in own]
    return max((math.inf if value is None else value for value in found), default=0.0)


def describe_verdict(validation: Json) -> str:
    """State the verdict in one or two sentences."""
    runs = validation["runs"]
    frames = len(validation["frames"])
    on = f"on {frames} frame{'s' if frames != 1 else ''}"
    if validation["verdict"] == "pass":
        rounding = describe_rounding(validation)
        return f"The converted model computes what the checkpoint computes {on}. {rounding}"
    if validation["verdict"] == "undecidable":
        return (
            "Undecidable: with these weights PyTorch at float32 itself is off by "
            f"{get_own_error(validation):.1e} from its result in float64. They are "
            "ill-conditioned: a comparison at float32 cannot distinguish rounding from a fault. "
            "These files are not validated."
        )
    failed = sum(run["verdict"] != "pass" for run in runs)
    differ = "differs" if failed == 1 else "differ"
    return (
        f"{failed} of {len(runs)} variants of the converted model {differ} from the original by "
        f"more than the limits {on}. These files are not validated and must not be used."
    )


def describe_rounding(validation: Json) -> str:
    """Answer "is this difference OK?" in one sentence, "" where nothing was run at f32."""
    exact = [run for run in validation["runs"] if compute_error_ratio(run) is not None]
    strict = [run for run in exact if run["form"] != FP16 and run["hint"] == "f32"]
    if not strict:
        return ""
    worst = max(strict, key=lambda run: compute_error_ratio(run) or 0.0)
    return (
        f"At f32 it errs at most {compute_error_ratio(worst):.1f} times as much as PyTorch's own "
        f"float32 rounding ({format_scientific(get_own_error(validation))}): the difference is "
        "rounding."
    )


def compute_error_ratio(run: Json) -> float | None:
    """Return the largest error of an output as a multiple of PyTorch's own, None if unknown."""
    ratios = []
    for name in OUTPUTS:
        key = max_error_of(name)
        found, base = run["figures"].get(key), (run.get("bases") or {}).get(key)
        if found is None or base is None:
            return None
        ratios.append(found / base if base else (math.inf if found else 1.0))
    return max(ratios)


def list_failures(validation: Json) -> list[tuple[str, tuple[str, ...], Table | None]]:
    """List failed runs: label, what failed, and the causes that were tested."""
    return [
        (format_run_label(run), tuple(run["failures"]), _explanations(run))
        for run in validation["runs"]
        if run["failures"]
    ]


def _explanations(run: Json) -> Table | None:
    found = run.get("explanations")
    if not found:
        return None
    rows = tuple(
        (
            Cell(item["hypothesis"]),
            Cell(item["found"]),
            Cell(LABELS.get(item.get("figure", ""), str(item.get("figure", "\u2013")))),
            _any(item.get("before")),
            _any(item.get("after")),
            Cell("explains it", "fail") if item.get("convinces") else Cell("no", "quiet"),
        )
        for item in found
    )
    head = ("Possible cause", "Found", "Figure", "Before", "After", "Explains it")
    notes: tuple[str, ...] = ()
    if not run.get("explanations_complete", True):
        notes = ("Not all causes were tried: the time budget was used up.",)
    return Table("Possible causes", head, rows, notes, text_columns=len(head))


def _any(value: object) -> Cell:
    if isinstance(value, int | float):
        return number_cell(float(value), ".2e")
    return EMPTY_CELL if value is None else Cell(str(value))


def agreement_table(validation: Json) -> Table:
    """One row per run: errors, their ratio to PyTorch's own, patches, grade, verdict."""
    rows = []
    for run in validation["runs"]:
        figures, failed = run["figures"], run["verdict"] != "pass"
        share, name = find_closest_limit(run)
        ratio = compute_error_ratio(run)
        rows.append(
            (
                Cell(format_run_label(run)),
                *(number_cell(figures.get(max_error_of(output))) for output in OUTPUTS),
                EMPTY_CELL if ratio is None else Cell(f"{ratio:.3g}"),
                *(number_cell(figures.get(f"{output}_mean_abs")) for output in OUTPUTS),
                Cell(run.get("grade") or "\u2013"),
                number_cell(figures.get("different_patches"), ".3%"),
                Cell(f"{format_share(share)} of {name}", "fail" if share > 1 else "", share)
                if share is not None
                else EMPTY_CELL,
                Cell(run["verdict"], "fail" if failed else "pass"),
            )
        )
    return Table(
        "Against the original",
        (
            "Model",
            "alpha",
            "foreground",
            "ratio",
            "alpha",
            "foreground",
            "Grade",
            "Patches chosen differently",
            "Closest to its limit",
            "Verdict",
        ),
        tuple(rows),
        (ERROR_NOTE, GRADE_NOTE),
        (("", 1), ("Error", 3), ("Mean difference", 2), ("", 4)),
    )


def find_closest_limit(run: Json) -> tuple[float | None, str]:
    """Return the largest share of a limit that a figure takes, and the figure's label."""
    shares = [(share, name) for name, _, _, share in _limited(run) if share is not None]
    share, name = max(shares, default=(None, ""))
    return share, LABELS.get(name, name)


def format_share(share: float) -> str:
    """Format a share of a limit so that it fits a cell."""
    if share > MANY:
        return f"{share:.1e} times" if math.isfinite(share) else "beyond"
    return f"{share:.0%}" if share == 0 or share >= 0.01 else "under 1%"  # noqa: PLR2004


def limits_table(validation: Json) -> Table:
    """One row per limit: found, limit, share of it, and the limit that would have passed."""
    rows = []
    for run in validation["runs"]:
        would = (run.get("limits") or {}).get("would_pass") or {}
        for name, found, limit, share in _limited(run):
            over = share is None or share > 1
            rows.append(
                (
                    Cell(format_run_label(run)),
                    Cell(f"{LABELS[name]} ({name})"),
                    number_cell(found, ".3g"),
                    number_cell(limit, ".3g"),
                    EMPTY_CELL
                    if share is None
                    else Cell(format_share(share), "fail" if over else "", share),
                    number_cell(would.get(name), ".3g"),
                )
            )
    reasons = dict.fromkeys(
        f"{format_run_label(run)}: {' '.join(run['limits']['reason'].split())}"
        for run in validation["runs"]
        if (run.get("limits") or {}).get("reason")
    )
    head = ("Model", "Figure", "Found", "Limit", "Of the limit", "Would have passed")
    return Table("Limits", head, tuple(rows), tuple(reasons), text_columns=2)


def _limited(run: Json) -> list[tuple[str, float | None, float, float | None]]:
    """Figure, found, limit, share of the limit; 0 where better than the original."""
    found = []
    for name, limit in ((run.get("limits") or {}).get("bounds") or {}).items():
        value = run["figures"].get(name)
        share = None if value is None else ratio_to_bound(value, limit)
        found.append((name, value, limit, share))
    return found


def stages_table(validation: Json) -> Table | None:
    """One row per tensor between the network's stages, one column per run; None if not measured."""
    runs = [run for run in validation["runs"] if run.get("stages")]
    if not runs:
        return None
    columns = [
        {
            (stage["name"], tensor["name"]): tensor
            for stage in run["stages"]
            for tensor in stage["tensors"]
        }
        for run in runs
    ]
    order = list(dict.fromkeys(key for column in columns for key in column))
    rows = tuple(
        (
            Cell(name),
            Cell(tensor),
            _own(columns, (name, tensor)),
            *(_tensor(column.get((name, tensor))) for column in columns),
        )
        for name, tensor in order
    )
    return Table(
        "Stage by stage",
        ("Stage", "Tensor", "PyTorch at f32", *map(format_run_label, runs)),
        rows,
        ("Largest error against the network in float64, and in brackets the root mean square.",),
        text_columns=2,
    )


def _own(columns: list[dict[tuple[str, str], Json]], key: tuple[str, str]) -> Cell:
    found = next((column[key] for column in columns if key in column), {})
    largest, rmse = found.get("own_max_abs"), found.get("own_rmse")
    return EMPTY_CELL if largest is None else Cell(f"{largest:.1e} ({rmse:.1e})")


def _tensor(found: Json | None) -> Cell:
    if found is None:
        return EMPTY_CELL
    if not found.get("finite", True):
        return Cell("NaN or infinite", "fail")
    largest, rmse = found.get("max_abs"), found.get("rmse")
    if largest is None:
        return EMPTY_CELL
    return Cell(f"{largest:.1e}" + ("" if rmse is None else f" ({rmse:.1e})"))
