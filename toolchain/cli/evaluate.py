"""`matting evaluate`: arguments in, the table of metrics or its JSON out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.numbers import positive
from toolchain.cli.output import print_json
from toolchain.definitions.variants import Hint

if TYPE_CHECKING:
    from toolchain.pipeline.evaluate import EvaluationRequest
    from toolchain.pipeline.request import BuildRequest

TEXT = "score every form of the model on frames with known truth"
EXAMPLE = "matting evaluate --weights bundled --dataset DIR --backgrounds DIR --models FP32,FP16"
HINTS: dict[str, tuple[Hint, ...]] = {
    "f32": ("f32",),
    "default": ("default",),
    "both": ("f32", "default"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `evaluate` has beyond the options of every command."""
    parser.add_argument(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="frames with truth: com/ bgr/ fgr/, or RGBA cutouts, or fgr/ pha/, or fgr_* beside "
        "pha_* (without: generated ones)",
    )
    parser.add_argument(
        "--backgrounds", type=Path, metavar="DIR", help="pictures to put behind the foregrounds"
    )
    parser.add_argument(
        "--frames", type=positive, metavar="N", help="generated frames, without --dataset (24)"
    )
    parser.add_argument(
        "--models",
        metavar="M[,M]",
        help="original, onnx, FP32, FP16, FP16-INT8 (all that were built)",
    )
    parser.add_argument(
        "--precision-hint",
        choices=tuple(HINTS),
        default="f32",
        help="what the IRs compute in: f32 (default), the device's default, or both in turn",
    )
    parser.add_argument(
        "--seed", type=_seed, default=2026, metavar="S", help="of backgrounds and intervals (2026)"
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave bad frames out instead of stopping"
    )
    parser.add_argument(
        "--cluster", metavar="WHERE", help="address of a Dask scheduler, or local (processes here)"
    )
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="processes of --cluster local (one a core)"
    )


def run(options: argparse.Namespace, request: BuildRequest) -> int:
    """Evaluate, print, return the exit code."""
    from toolchain.cli.console import listener
    from toolchain.cli.summary import weights_line
    from toolchain.pipeline.evaluate import evaluate_build, plan_evaluation

    asked = _asked(options, request)
    talk = listener(quiet=options.quiet)
    talk.note(weights_line(request.weights))
    if options.dry_run:
        plan = plan_evaluation(asked)
        seen = {
            "dataset": plan.dataset.name,
            "kind": plan.dataset.kind,
            "clips": len({item.clip for item in plan.dataset.items}),
            "frames": len(plan.dataset.items),
            "bad": [vars(fault) for fault in plan.faults],
            "models": [str(model) for model in plan.models],
            "target": str(plan.target),
        }
        if options.json:
            print_json(seen)
        else:
            print(*_foreseen(seen), sep="\n")
        return 0
    result = evaluate_build(asked, talk)
    if options.json:
        print_json(result.content)
    else:
        print(*table(result.content), "", f"{result.target} (.csv, .md)", sep="\n")
        print(weights_line(request.weights))
    return 0


def table(content: Mapping[str, Any]) -> list[str]:
    """A row a model with the bounds of its means below, then the published rows, marked."""
    from toolchain.definitions.metrics import METRIC_KEYS, METRICS
    from toolchain.stages.evaluate.tables import number

    lines = [_row(["model", "hint", "ran in", *(metric.label for metric in METRICS)])]
    for entry in content["models"]:
        total = [entry["total"][metric] for metric in METRIC_KEYS]
        who = [entry["form"], entry["hint"], entry["executed"]]
        lines.append(_row([*who, *(number(cell["mean"]) for cell in total)]))
        bounds = (f"{number(cell['low'])}-{number(cell['high'])}" for cell in total)
        lines.append(_row(["", "", "", *bounds]))
    for name, row in content["published"]["rows"].items():
        figures = (f"{row[metric]:g}" if metric in row else "-" for metric in METRIC_KEYS)
        lines.append(_row(["published", "", "", *figures]) + f"  {name}")
    lines += [
        "",
        _described(content["dataset"]),
        *(f"{metric.label}: {metric.definition}." for metric in METRICS),
        f"{content['interval']}.",
        f"published: {content['published']['about']}.",
    ]
    return lines


def _seed(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number from 0 on (got {text!r})")


def _asked(options: argparse.Namespace, request: BuildRequest) -> EvaluationRequest:
    from toolchain.definitions.variants import FORMS
    from toolchain.errors import UsageError
    from toolchain.pipeline.evaluate import EvaluationRequest

    known = {form.lower(): form for form in FORMS}
    asked = options.models.split(",") if options.models else []
    models = tuple(known.get(name.lower(), name) for name in asked)
    unknown = [name for name in models if name not in FORMS]
    if unknown:
        raise UsageError(
            f"--models: unknown {', '.join(unknown)}", hint=f"Known: {', '.join(FORMS)}."
        )
    if options.frames and options.dataset:
        raise UsageError("--frames is for generated frames; --dataset has its own")
    if options.workers and options.cluster != "local":
        raise UsageError("--workers is for --cluster local; a scheduler has its own workers")
    return EvaluationRequest(
        build=request,
        forms=models,
        hints=HINTS[options.precision_hint],
        dataset=options.dataset,
        backgrounds=options.backgrounds,
        frames=options.frames or EvaluationRequest.frames,
        seed=options.seed,
        skip_bad=options.skip_bad,
        cluster=options.cluster,
        workers=options.workers,
    )


def _foreseen(seen: Mapping[str, Any]) -> list[str]:
    return [
        f"{seen['frames']} frames, {seen['clips']} clips of {seen['dataset']} ({seen['kind']})",
        *(f"bad: {fault['file']}: {fault['reason']}" for fault in seen["bad"]),
        *(f"would score {model}" for model in seen["models"]),
        f"would write {seen['target']} (.csv, .md)",
    ]


def _described(dataset: Mapping[str, Any]) -> str:
    left = f", {len(dataset['skipped'])} bad frames left out" if dataset["skipped"] else ""
    what = f"{dataset['frames']} frames, {dataset['clips']} clips of {dataset['name']}"
    return f"{what} ({dataset['kind']}){left}."


def _row(cells: list[str]) -> str:
    widths = (9, 7, 6) + (15,) * (len(cells) - 3)
    return " ".join(
        f"{cell:<{width}}" if n < 3 else f"{cell:>{width}}"  # noqa: PLR2004 - names, then figures
        for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()
