"""Existing scores: one journal for each model and dataset."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from toolchain.definitions.metrics import METRIC_KEYS
from toolchain.frames.dataset import Dataset
from toolchain.stages.evaluate.request import EvaluatedModel, EvaluateRequest
from toolchain.stages.evaluate.shard import TOOLS, ScoredFrame, Scorer
from toolchain.workspace.digests import file_digest
from toolchain.workspace.environment import code_digest, processor, version
from toolchain.workspace.journal import Journal

FOLDER = ".evaluation"


class ScoreRecords:
    """Scores of one model on one dataset, by frame, kept across runs.

    A record is used again only for the same frame (its key), model, settings, dataset, code and
    tools (the name of the journal) and, without a cluster, the same processor.
    """

    def __init__(self, request: EvaluateRequest, model: EvaluatedModel) -> None:
        mark = compute_fingerprint(model, request.dataset)
        name = f"{model.variant.id}-{mark[:20]}.jsonl"
        self.journal = Journal(request.target.parent / FOLDER / name)
        self._found: dict[str, tuple[str, tuple[float, ...], Scorer]] = {}
        for entry in self.journal.entries():
            scores = tuple(float(value) for value in entry["scores"])
            scorer = _scorer(entry)
            if request.cluster is not None or scorer.processor == processor():
                self._found[entry["frame"]] = (entry["key"], scores, scorer)

    def key(self, frame: str) -> str | None:
        """The key of `frame` when it was scored, None if it has no scores."""
        found = self._found.get(frame)
        return found[0] if found else None

    def enter(self, frame: str, scored: ScoredFrame, scorer: Scorer) -> None:
        """Add an outcome to the journal."""
        self._found[frame] = (scored.key, scored.scores, scorer)
        self.journal.append(
            {
                "frame": frame,
                "key": scored.key,
                "scores": scored.scores,
                "processor": scorer.processor,
                "executed": scorer.executed,
            }
        )

    def scores(self, frame: str) -> tuple[float, ...]:
        """Scores of a frame, in the order of `definitions.metrics.METRICS`."""
        return self._found[frame][1]

    def scorers(self, frames: list[str]) -> list[Scorer]:
        """Scorers of `frames`, without duplicates, sorted."""
        found = {self._found[frame][2] for frame in frames}
        return sorted(found, key=lambda scorer: (scorer.executed, scorer.processor))


def compute_fingerprint(model: EvaluatedModel, dataset: Dataset) -> str:
    """Digest of everything that scores depend on, except the content of the frames."""
    facts = {
        "model": [str(file_digest(path)) for path in model.files],
        "variant": model.variant.as_json(),
        "settings": asdict(model.settings),
        "dataset": [dataset.kind, dataset.name, dataset.seed],
        "metrics": METRIC_KEYS,
        "code": code_digest(),
        "tools": {tool: version(tool) for tool in TOOLS},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _scorer(entry: Any) -> Scorer:
    # Code and tools are in the fingerprint.
    return Scorer("", (), str(entry["processor"]), str(entry["executed"]))
