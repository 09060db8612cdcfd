"""Summary of a build: the table of the validation, the files and the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from toolchain.cli import layers
from toolchain.cli.options import weights_line
from toolchain.definitions.metrics import max_error_of
from toolchain.definitions.ports import OUTPUTS
from toolchain.definitions.variants import DEFAULT_DEVICE, Variant
from toolchain.pipeline.build import BuildResult
from toolchain.pipeline.request import BuildRequest
from toolchain.report.run_tables import compute_error_ratio, get_own_error

HEAD = (
    ("model", 9),
    ("hint", 8),
    ("ran in", 7),
    ("error", 9),
    ("x own", 7),
    ("mean diff", 10),
    ("grade", 6),
    ("MAD", 7),
    ("MAD +", 8),
    ("GRAD +", 8),
    ("fgr MSE +", 10),
    ("patches", 9),
    ("verdict", 12),
)


def as_text(result: BuildResult) -> str:
    """Format the summary for people."""
    request = result.request
    lines = []
    if result.verdict is not None:
        lines += [*table(result.verdict), ""]
    if result.layers is not None:
        lines += [*layers.table(result.layers), ""]
    for outcome in result.outcomes:
        state = f"{outcome.seconds:.1f} s" if outcome.ran else "up to date"
        lines.append(f"{outcome.entry:18} {state:>10}  {', '.join(map(str, outcome.files))}")
    lines += ["", weights_line(request.weights)]
    return "\n".join(lines)


def as_json(result: BuildResult) -> dict[str, Any]:
    """Return the summary for scripts."""
    request = result.request
    verdict = result.verdict
    return {
        "model": request.weights.name,
        "weights": {
            "kind": request.weights.kind,
            "why": request.weights.why,
            "are": request.weights.description,
        },
        "folder": str(request.layout.folder),
        "stages": [
            {
                "stage": outcome.entry,
                "ran": outcome.ran,
                "seconds": round(outcome.seconds, 3),
                "files": [str(path) for path in outcome.files],
            }
            for outcome in result.outcomes
        ],
        "verdict": None if verdict is None else verdict["verdict"],
        "validation": None if verdict is None else str(request.layout.validation),
        "layers": None if result.layers is None else str(request.layout.layers),
        "report": str(request.layout.report) if "report" in request.stages else None,
    }


def format_failure(request: BuildRequest, verdict: Mapping[str, Any], *, as_json: bool) -> str:
    """Format the measurements of a build whose validation failed.

    Args:
        request: The build.
        verdict: Content of validation.json.
        as_json: Format as JSON, not as text.
    """
    found = None
    if "layers" in request.stages:
        found = json.loads(request.layout.layers.read_text(encoding="utf-8"))
    if as_json:
        content = verdict if found is None else {**verdict, "layers": found}
        return json.dumps(content, indent=2, ensure_ascii=False)
    lines = [*table(verdict), ""]
    if found is not None:
        lines += [*layers.table(found), ""]
    return "\n".join(lines)


def table(verdict: Mapping[str, Any]) -> list[str]:
    """Format one row per run.  `+`: minus the original's, on the published scales."""
    lines = [_row([name for name, _ in HEAD])]
    own = get_own_error(verdict)
    original = verdict["original"]["metrics"]
    mad = _number((original or {}).get("alpha_mad"), ".3f")
    lines.append(_row(["original", "", "f32", f"{own:.1e}", "1", "", "", mad, "", "", "", "", ""]))
    for run in verdict["runs"]:
        figures, metrics = run["figures"], run["metrics"] or {}
        errors = [figures.get(max_error_of(name)) for name in OUTPUTS]
        means = [figures.get(f"{name}_mean_abs") for name in OUTPUTS]
        lines.append(
            _row(
                [
                    _where(run),
                    run["hint"],
                    run["executed"],
                    _number(_largest(errors), ".1e"),
                    _number(compute_error_ratio(run), ".3g"),
                    _number(_largest(means), ".1e"),
                    run.get("grade") or "-",
                    _number(metrics.get("alpha_mad"), ".3f"),
                    _number(figures.get("alpha_mad_worse"), "+.4f"),
                    _number(figures.get("alpha_grad_worse"), "+.4f"),
                    _number(figures.get("foreground_mse_worse"), "+.4f"),
                    _number(figures["different_patches"], ".4%"),
                    run["verdict"],
                ]
            )
        )
    lines.append(
        "error: largest difference from the network in float64, outside differently chosen "
        "patches, values 0..1; x own: as a multiple of what PyTorch at f32 errs. grade: mean "
        "difference from PyTorch at f32, A up to 1/1020, B up to 1/255. MAD x1000, GRAD /1000; +: "
        "minus the original's."
    )
    lines += advice(verdict)
    return lines


def advice(verdict: Mapping[str, Any]) -> list[str]:
    """State what to do about a device's default precision of grade C."""
    poor = [run for run in verdict["runs"] if run["hint"] == "default" and run.get("grade") == "C"]
    if not poor:
        return []
    names = ", ".join(dict.fromkeys(f"{run['form']} ({run['executed']})" for run in poor))
    text = f"Grade C at the device's default precision: {names}."
    return [f"{text} Compile with INFERENCE_PRECISION_HINT=f32."]


def _largest(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known, default=None)


def _where(run: Mapping[str, Any]) -> str:
    """The form, and the device unless it is the default one."""
    variant = Variant.from_json(run)
    usual = variant.device == DEFAULT_DEVICE
    return variant.form if usual else f"{variant.form} {variant.device}"


def _row(cells: list[str]) -> str:
    pairs = zip(cells, HEAD, strict=True)
    return " ".join(f"{cell:>{width}}" for cell, (_, width) in pairs).rstrip()


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
