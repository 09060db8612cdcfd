"""The content of evaluation.json."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from toolchain.definitions import schemas
from toolchain.definitions.metrics import METRIC_KEYS, METRICS
from toolchain.definitions.variants import ORIGINAL
from toolchain.frames.dataset import Dataset, Fault
from toolchain.metrics.bootstrap import choose_unit, compute_interval, describe_interval
from toolchain.stages.evaluate.records import ScoreRecords
from toolchain.stages.evaluate.request import EvaluatedModel, EvaluateRequest
from toolchain.stages.evaluate.shard import TOOLS
from toolchain.workspace.environment import machine, version

Json = dict[str, Any]


def summarize_scores(
    request: EvaluateRequest,
    good: list[int],
    faults: list[Fault],
    found: list[tuple[EvaluatedModel, ScoreRecords]],
) -> Json:
    """Compute means over the good frames with intervals, for each model, per clip and in total."""
    dataset = request.dataset
    items = [dataset.items[index] for index in good]
    numbers = {clip: n for n, clip in enumerate(dict.fromkeys(item.clip for item in items))}
    clips = np.array([numbers[item.clip] for item in items], np.intp)
    names = [item.name for item in items]
    values = {model: np.array([records.scores(name) for name in names]) for model, records in found}
    original = next(
        (rows for model, rows in values.items() if model.variant.form == ORIGINAL), None
    )
    entries = []
    processors: set[str] = set()
    for model, records in found:
        scorers = records.scorers(names)
        processors.update(scorer.processor for scorer in scorers)
        entry: Json = {
            **model.variant.as_json(),
            "executed": ", ".join(sorted({scorer.executed for scorer in scorers})),
            "frames": len(items),
            "total": _compute_intervals(values[model], clips, request.seed),
        }
        if original is not None and model.variant.form != ORIGINAL:
            entry["against_original"] = _compute_intervals(
                values[model] - original, clips, request.seed
            )
        entry["clips"] = {
            clip: {
                "frames": int((clips == number).sum()),
                **dict(
                    zip(METRIC_KEYS, _compute_means(values[model][clips == number]), strict=True)
                ),
            }
            for clip, number in numbers.items()
        }
        entries.append(entry)
    return {
        "schema": schemas.EVALUATION,
        "model": request.name,
        "facts": dict(request.facts),
        "dataset": _describe_dataset(dataset, len(numbers), len(items), faults, request),
        "models": entries,
        "scales": {metric.key: metric.definition for metric in METRICS},
        "interval": describe_interval(choose_unit(clips), request.seed),
        "published": request.published,
        "machine": {**machine(), "processors": sorted(processors)},
        "tools": {tool: version(tool) for tool in TOOLS},
    }


def _describe_dataset(
    dataset: Dataset, clips: int, frames: int, faults: list[Fault], request: EvaluateRequest
) -> Json:
    return {
        "kind": dataset.kind,
        "name": dataset.name,
        "clips": clips,
        "frames": frames,
        "size": list(request.models[0].size),
        "skipped": [asdict(fault) for fault in faults],
        "seed": dataset.seed,
    }


def _compute_intervals(values: np.ndarray, clips: np.ndarray, seed: int) -> Json:
    """Mean, low and high of each metric over frames x metrics."""
    bounds = compute_interval(values, clips, seed)
    return {
        metric: {"mean": mean, "low": float(bounds.low[n]), "high": float(bounds.high[n])}
        for n, (metric, mean) in enumerate(zip(METRIC_KEYS, _compute_means(values), strict=True))
    }


def _compute_means(values: np.ndarray) -> list[float]:
    """Mean of each column, independent of the order of the frames."""
    return [math.fsum(column) / len(values) for column in values.T.tolist()]
