"""The command `evaluate`: metrics of every form of the model, as a table or JSON."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.console import make_listener, print_json
from toolchain.cli.options import (
    Commands,
    add_build,
    add_command,
    add_frames,
    add_network,
    read_build,
    read_settings,
    weights_line,
)
from toolchain.cli.values import list_of, parse_positive
from toolchain.definitions.metrics import METRIC_KEYS, METRICS
from toolchain.definitions.variants import FORMS, HINTS, Hint
from toolchain.errors import UsageError
from toolchain.stages.evaluate.tables import format_number

if TYPE_CHECKING:
    from toolchain.pipeline.evaluate import EvaluationRequest

HINT_CHOICES: dict[str, tuple[Hint, ...]] = {**{hint: (hint,) for hint in HINTS}, "both": HINTS}


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "evaluate",
        "compute metrics of every form of the model on frames with known ground truth",
        example="matting evaluate --weights bundled --dataset DIR --backgrounds DIR "
        "--models FP32,FP16",
        run=_run,
    )
    add_build(parser)
    add_network(parser)
    parser.add_argument(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="frames with ground truth: com/ bgr/ fgr/, or RGBA cutouts, or fgr/ pha/, or fgr_* "
        "with pha_* (default: generated ones)",
    )
    parser.add_argument(
        "--backgrounds",
        type=Path,
        metavar="DIR",
        help="background images for a dataset of foregrounds",
    )
    add_frames(parser, "number of generated frames, without --dataset (24)")
    parser.add_argument(
        "--models",
        type=list_of(FORMS),
        metavar="M[,M]",
        help=f"of {', '.join(FORMS)} (all that were built)",
    )
    parser.add_argument(
        "--precision-hint",
        choices=tuple(HINT_CHOICES),
        default="f32",
        help="precision the IRs compute in: f32 (default), the default of the device, or both",
    )
    parser.add_argument(
        "--seed",
        type=_parse_seed,
        default=2026,
        metavar="S",
        help="seed of backgrounds and intervals (%(default)s)",
    )
    parser.add_argument("--skip-bad", action="store_true", help="skip frames that cannot be used")
    parser.add_argument(
        "--cluster", metavar="WHERE", help="address of a Dask scheduler, or local (processes here)"
    )
    parser.add_argument(
        "--workers",
        type=parse_positive,
        metavar="N",
        help="processes for --cluster local (one per core)",
    )


def _parse_seed(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"must be an integer of at least 0 (got {text!r})")


def _run(options: argparse.Namespace) -> int:
    from toolchain.pipeline.evaluate import evaluate_build, plan_evaluation

    request = _read_request(options)
    listener = make_listener(quiet=options.quiet)
    listener.note(weights_line(request.build.weights))
    if options.dry_run:
        plan = plan_evaluation(request)
        planned = {
            "dataset": plan.dataset.name,
            "kind": plan.dataset.kind,
            "clips": len({item.clip for item in plan.dataset.items}),
            "frames": len(plan.dataset.items),
            "bad": [vars(fault) for fault in plan.faults],
            "models": [str(model) for model in plan.models],
            "target": str(plan.target),
        }
        if options.json:
            print_json(planned)
        else:
            print(*_format_plan(planned), sep="\n")
        return 0
    result = evaluate_build(request, listener)
    if options.json:
        print_json(result.content)
    else:
        print(*table(result.content), "", f"{result.target} (.csv, .md)", sep="\n")
        print(weights_line(request.build.weights))
    return 0


def _read_request(options: argparse.Namespace) -> EvaluationRequest:
    from toolchain.pipeline.evaluate import EvaluationRequest

    build = read_build(options)
    build = replace(build, settings=read_settings(options, build.model))
    if options.frames and options.dataset:
        raise UsageError("--frames is for generated frames; --dataset has its own")
    if options.workers and options.cluster != "local":
        raise UsageError("--workers is for --cluster local; a scheduler has its own workers")
    return EvaluationRequest(
        build=build,
        forms=options.models or (),
        hints=HINT_CHOICES[options.precision_hint],
        dataset=options.dataset,
        backgrounds=options.backgrounds,
        frames=options.frames or EvaluationRequest.frames,
        seed=options.seed,
        skip_bad=options.skip_bad,
        cluster=options.cluster,
        workers=options.workers,
    )


def table(content: Mapping[str, Any]) -> list[str]:
    """Format evaluation.json: one row per model with the interval of each mean below it."""
    lines = [_row(["model", "hint", "ran in", *(metric.label for metric in METRICS)])]
    for entry in content["models"]:
        total = [entry["total"][metric] for metric in METRIC_KEYS]
        who = [entry["form"], entry["hint"], entry["executed"]]
        lines.append(_row([*who, *(format_number(cell["mean"]) for cell in total)]))
        bounds = (f"{format_number(cell['low'])}-{format_number(cell['high'])}" for cell in total)
        lines.append(_row(["", "", "", *bounds]))
    for name, row in content["published"]["rows"].items():
        figures = (f"{row[metric]:g}" if metric in row else "-" for metric in METRIC_KEYS)
        lines.append(_row(["published", "", "", *figures]) + f"  {name}")
    lines += [
        "",
        _describe(content["dataset"]),
        *(f"{metric.label}: {metric.definition}." for metric in METRICS),
        f"{content['interval']}.",
        f"published: {content['published']['about']}.",
    ]
    return lines


def _format_plan(planned: Mapping[str, Any]) -> list[str]:
    count = f"{planned['frames']} frames, {planned['clips']} clips"
    return [
        f"{count} of {planned['dataset']} ({planned['kind']})",
        *(f"bad: {fault['file']}: {fault['reason']}" for fault in planned["bad"]),
        *(f"would score {model}" for model in planned["models"]),
        f"would write {planned['target']} (.csv, .md)",
    ]


def _describe(dataset: Mapping[str, Any]) -> str:
    left = f", {len(dataset['skipped'])} bad frames left out" if dataset["skipped"] else ""
    what = f"{dataset['frames']} frames, {dataset['clips']} clips of {dataset['name']}"
    return f"{what} ({dataset['kind']}){left}."


def _row(cells: list[str]) -> str:
    widths = (9, 7, 6) + (15,) * (len(cells) - 3)
    return " ".join(
        f"{cell:<{width}}" if n < 3 else f"{cell:>{width}}"  # noqa: PLR2004 - names, then figures
        for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()
