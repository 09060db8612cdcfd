"""What a build ends with: the table of differences, the paths, and whose weights these are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from toolchain.cli import layers
from toolchain.pipeline.build import BuildResult
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import Weights

HEAD = (
    ("model", 9),
    ("hint", 8),
    ("ran in", 7),
    ("pha max", 9),
    ("fgr max", 9),
    ("MAD", 7),
    ("MAD +", 8),
    ("GRAD", 8),
    ("GRAD +", 8),
    ("fgr MSE +", 10),
    ("patches", 9),
    ("verdict", 8),
)


def weights_line(weights: Weights) -> str:
    """One line on which weights a run uses and why; said first and last."""
    return f"Weights: {weights.kind} ({weights.why}): {weights.description}."


def as_text(result: BuildResult) -> str:
    """The summary for people."""
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
    """The summary for scripts."""
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


def failed(request: BuildRequest, verdict: Mapping[str, Any], *, as_json: bool) -> str:
    """What was measured though the run fails, as text or JSON."""
    found = None
    if "layers" in request.stages:
        found = json.loads(request.layout.layers.read_text(encoding="utf-8"))
    if as_json:
        told = verdict if found is None else {**verdict, "layers": found}
        return json.dumps(told, indent=2, ensure_ascii=False)
    lines = [*table(verdict), ""]
    if found is not None:
        lines += [*layers.table(found), ""]
    return "\n".join(lines)


def table(verdict: Mapping[str, Any]) -> list[str]:
    """One row a run.  `+`: worse than the original by; on the published scales."""
    lines = [_row([name for name, _ in HEAD])]
    original = verdict["original"]["truth"]
    if original is not None:
        cells = ["original", "", "f32", "", "", f"{original['alpha_mad']:.3f}", ""]
        cells += [f"{original['alpha_grad']:.3f}", "", "", "", ""]
        lines.append(_row(cells))
    for run in verdict["runs"]:
        figures, truth = run["figures"], run["truth"] or {}
        lines.append(
            _row(
                [
                    _where(run),
                    run["hint"],
                    run["executed"],
                    _number(figures["pha_max_abs"], ".1e"),
                    _number(figures["fgr_max_abs"], ".1e"),
                    _number(truth.get("alpha_mad"), ".3f"),
                    _number(figures.get("alpha_mad_worse"), "+.4f"),
                    _number(truth.get("alpha_grad"), ".3f"),
                    _number(figures.get("alpha_grad_worse"), "+.4f"),
                    _number(figures.get("foreground_mse_worse"), "+.4f"),
                    _number(figures["different_patches"], ".4%"),
                    run["verdict"],
                ]
            )
        )
    lines.append(
        "max: largest difference from the original outside differently chosen patches, values "
        "0..1. MAD x1000 and GRAD /1000, mean over the frames with known truth; +: worse than the "
        "original by. patches: chosen differently."
    )
    return lines


def _where(run: Mapping[str, Any]) -> str:
    """The form, and the device if it is not what everybody has."""
    device = run["conditions"]["device"]
    return str(run["form"]) if device == "CPU" else f"{run['form']} {device}"


def _row(cells: list[str]) -> str:
    pairs = zip(cells, HEAD, strict=True)
    return " ".join(f"{cell:>{width}}" for cell, (_, width) in pairs).rstrip()


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
