"""The verdict's runs as words and tables: what differs, under which limit, why it failed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from toolchain.report.table import NONE, Cell, Table, figure

Json = Mapping[str, Any]
OUTSIDE = (
    "Absolute differences on values 0..1 from PyTorch at f32, outside patches that were chosen "
    "differently: there one side is refined and the other is not, which is no numeric error."
)
MANY = 100  # times a limit; more is written as a power of ten
HINTS = {"f32": "f32", "default": "device default"}
REASON = "reason"
USUAL = "CPU"
FIGURES = {
    "pha_max_abs": "alpha, max",
    "pha_mean_abs": "alpha, mean",
    "fgr_max_abs": "foreground, max",
    "fgr_mean_abs": "foreground, mean",
    "alpha_mad_worse": "MAD lost",
    "alpha_mse_worse": "MSE lost",
    "alpha_grad_worse": "GRAD lost",
    "foreground_mse_worse": "foreground MSE lost",
    "different_patches": "patches",
}


def run_id(run: Json) -> str:
    """A name for scripts; no two runs share one."""
    device = device_of(run)
    return f"{run['form']}-{run['hint']}{'' if device == USUAL else f'-{device}'}".lower()


def device_of(run: Json) -> str:
    """OpenVINO's name of the device that ran it; the CPU where none is told."""
    return str((run.get("conditions") or {}).get("device", USUAL))


def run_label(run: Json) -> str:
    """A name for people: form, hint, and what the device computed in where that is not said."""
    executed = f" ({run['executed']})" if run["executed"] != run["hint"] else ""
    device = device_of(run)
    where = "" if device == USUAL else f" on {device}"
    return f"{run['form']} \u00b7 {HINTS.get(run['hint'], run['hint'])}{executed}{where}"


def headline(validation: Json) -> str:
    """The verdict in a sentence."""
    runs = validation["runs"]
    failed = sum(run["verdict"] != "pass" for run in runs)
    frames = len(validation["frames"])
    on = f"on {frames} frame{'s' if frames != 1 else ''}"
    if validation["verdict"] == "pass":
        return (
            f"The converted model computes what the checkpoint computes: all {len(runs)} ways of "
            f"running it keep every limit {on}."
        )
    differ = "differs" if failed == 1 else "differ"
    return (
        f"{failed} of {len(runs)} ways of running the converted model {differ} from the original "
        f"by more than the limits {on}. These files are not validated and must not be used."
    )


def failures(validation: Json) -> list[tuple[str, tuple[str, ...], Table | None]]:
    """Of each run that failed: its name, what failed, and the hypotheses that were tested."""
    return [
        (run_label(run), tuple(run["failures"]), _explanations(run))
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
            Cell(FIGURES.get(item.get("figure", ""), str(item.get("figure", "\u2013")))),
            _any(item.get("before")),
            _any(item.get("after")),
            Cell("explains it", "fail") if item.get("convinces") else Cell("no", "quiet"),
        )
        for item in found
    )
    head = ("Hypothesis", "Found", "Figure", "Before", "After", "Convinces")
    return Table("What might explain it", head, rows, words=len(head))


def _any(value: object) -> Cell:
    if isinstance(value, int | float):
        return figure(float(value), ".2e")
    return NONE if value is None else Cell(str(value))


def agreement(validation: Json) -> Table:
    """One row a run: the largest and mean differences, patches, the verdict."""
    rows = []
    for run in validation["runs"]:
        figures, failed = run["figures"], run["verdict"] != "pass"
        share, name = closest_limit(run)
        rows.append(
            (
                Cell(run_label(run)),
                *(
                    figure(figures.get(f"{output}_{kind}_abs"))
                    for output in ("pha", "fgr")
                    for kind in ("max", "mean")
                ),
                figure(figures.get("different_patches"), ".3%"),
                Cell(f"{percent(share)} of {name}", "fail" if share > 1 else "", share)
                if share is not None
                else NONE,
                Cell(run["verdict"], "fail" if failed else "pass"),
            )
        )
    return Table(
        "Against the original",
        (
            "Model",
            "max",
            "mean",
            "max",
            "mean",
            "Patches chosen differently",
            "Closest to its limit",
            "Verdict",
        ),
        tuple(rows),
        (OUTSIDE,),
        (("", 1), ("Alpha", 2), ("Foreground", 2), ("", 3)),
    )


def closest_limit(run: Json) -> tuple[float | None, str]:
    """The largest share of a limit that a figure of `run` takes, and that figure's name."""
    shares = [(share, name) for name, _, _, share in _limited(run) if share is not None]
    share, name = max(shares, default=(None, ""))
    return share, FIGURES.get(name, name)


def percent(share: float) -> str:
    """A share of a limit in words that fit a cell."""
    if share > MANY:
        return f"{share:.1e} times" if math.isfinite(share) else "beyond"
    return f"{share:.0%}" if share == 0 or share >= 0.01 else "under 1%"  # noqa: PLR2004


def limits(validation: Json) -> Table:
    """One row a limit: found, limit, share of it, and the limit that would have passed if told."""
    rows = []
    told = any(run.get("would_pass") for run in validation["runs"])
    for run in validation["runs"]:
        would = run.get("would_pass") or {}
        for name, found, limit, share in _limited(run):
            over = share is None or share > 1
            rows.append(
                (
                    Cell(run_label(run)),
                    Cell(f"{FIGURES[name]} ({name})" if name in FIGURES else name),
                    figure(found, ".3g"),
                    figure(limit, ".3g"),
                    NONE if share is None else Cell(percent(share), "fail" if over else "", share),
                    *([figure(would.get(name), ".3g")] if told else []),
                )
            )
    reasons = dict.fromkeys(
        f"{run_label(run)}: {' '.join(run['limits'][REASON].split())}"
        for run in validation["runs"]
        if run["limits"] and run["limits"].get(REASON)
    )
    head = ("Model", "Figure", "Found", "Limit", "Of the limit")
    more = ("Would have passed",) if told else ()
    return Table("Limits", (*head, *more), tuple(rows), tuple(reasons), words=2)


def _limited(run: Json) -> list[tuple[str, float | None, float, float | None]]:
    """Figure, found, limit, share of the limit; negative where better than the original."""
    found = []
    for name, limit in (run["limits"] or {}).items():
        if name == REASON or limit is None:
            continue
        value = run["figures"].get(name)
        share = None
        if value is not None:
            share = max(value, 0.0) / limit if limit else (0.0 if value <= 0 else float("inf"))
        found.append((name, value, limit, share))
    return found


def stages(validation: Json) -> Table | None:
    """One row a tensor between the network's stages, one column a run; None if not measured."""
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
        (Cell(name), Cell(tensor), *(_tensor(column.get((name, tensor))) for column in columns))
        for name, tensor in order
    )
    return Table(
        "Stage by stage",
        ("Stage", "Tensor", *map(run_label, runs)),
        rows,
        ("Largest absolute difference from the original, and in brackets the root mean square.",),
        words=2,
    )


def _tensor(found: Json | None) -> Cell:
    if found is None:
        return NONE
    if not found.get("finite", True):
        return Cell("NaN or infinite", "fail")
    largest, rmse = found.get("max_abs"), found.get("rmse")
    if largest is None:
        return NONE
    return Cell(f"{largest:.1e}" + ("" if rmse is None else f" ({rmse:.1e})"))
