"""The content of evaluation.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from toolchain.frames.dataset import Dataset, Fault
from toolchain.metrics.bootstrap import interval, sentence, unit_of
from toolchain.metrics.scoring import METRICS, SCALES
from toolchain.metrics.totals import ByClip
from toolchain.stages.evaluate.records import Records
from toolchain.stages.evaluate.request import ORIGINAL, EvaluateRequest, Way
from toolchain.stages.evaluate.shard import TOOLS
from toolchain.workspace.environment import machine, version

SCHEMA = 1
Json = dict[str, Any]


def content(
    request: EvaluateRequest,
    good: list[int],
    faults: list[Fault],
    found: list[tuple[Way, Records]],
) -> Json:
    """Means over the `good` frames with their intervals, for each way; per clip and in total."""
    dataset = request.dataset
    items = [dataset.items[index] for index in good]
    numbers = {clip: n for n, clip in enumerate(dict.fromkeys(item.clip for item in items))}
    clips = np.array([numbers[item.clip] for item in items], np.intp)
    names = [item.name for item in items]
    values = {way: np.array([records.scores(name) for name in names]) for way, records in found}
    original = next((values[way] for way in values if way.model == ORIGINAL), None)
    models = []
    processors: set[str] = set()
    for way, records in found:
        sums = ByClip(len(METRICS))
        for item, row in zip(items, values[way], strict=True):
            sums.add(item.clip, [float(score) for score in row])
        scorers = records.scorers(names)
        processors.update(scorer.processor for scorer in scorers)
        entry: Json = {
            "model": way.model,
            "hint": way.hint,
            "executed": ", ".join(sorted({scorer.executed for scorer in scorers})),
            "frames": len(items),
            "total": _bounded(values[way], clips, request.seed, sums.total().means()),
        }
        if original is not None and way.model != ORIGINAL:
            entry["against_original"] = _bounded(values[way] - original, clips, request.seed)
        entry["clips"] = {
            clip: {"frames": totals.frames, **dict(zip(METRICS, totals.means(), strict=True))}
            for clip, totals in sums.clips.items()
        }
        models.append(entry)
    return {
        "schema": SCHEMA,
        "model": request.name,
        "facts": dict(request.facts),
        "dataset": _described(dataset, len(numbers), len(items), faults, request),
        "models": models,
        "scales": SCALES,
        "interval": sentence(unit_of(clips), request.seed),
        "published": request.published,
        "machine": {**machine(), "processors": sorted(processors)},
        "tools": {tool: version(tool) for tool in TOOLS},
    }


def _described(
    dataset: Dataset, clips: int, frames: int, faults: list[Fault], request: EvaluateRequest
) -> Json:
    return {
        "kind": dataset.kind,
        "name": dataset.name,
        "clips": clips,
        "frames": frames,
        "size": list(request.ways[0].size),
        "skipped": [asdict(fault) for fault in faults],
        "seed": dataset.seed,
    }


def _bounded(
    values: np.ndarray, clips: np.ndarray, seed: int, means: tuple[float, ...] | None = None
) -> Json:
    """Mean, low and high of each metric; `means`: where they were summed up already."""
    if means is None:
        sums = ByClip(len(METRICS))
        for row in values:
            sums.add("", [float(value) for value in row])
        means = sums.total().means()
    bounds = interval(values, clips, seed)
    return {
        metric: {"mean": means[n], "low": float(bounds.low[n]), "high": float(bounds.high[n])}
        for n, metric in enumerate(METRICS)
    }
