"""Evaluate: the published metrics, SAD and Conn of every variant against ground truth.

Models run one after the other; reading, inference and scoring overlap.  Scores are kept frame by
frame: an interrupted run is continued, changed models and frames are scored again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

from toolchain.errors import EvaluationError, FrameError
from toolchain.frames.dataset import Dataset, Fault, Item
from toolchain.progress import Listener, SilentListener
from toolchain.stages.evaluate.cluster import Cluster, connect
from toolchain.stages.evaluate.records import ScoreRecords
from toolchain.stages.evaluate.request import EvaluatedModel, EvaluateRequest, EvaluateResult
from toolchain.stages.evaluate.shard import (
    BadFrame,
    FrameTask,
    ScoredFrame,
    Scorer,
    current_scorer,
    score_frames,
)
from toolchain.stages.evaluate.summary import summarize_scores
from toolchain.stages.evaluate.tables import render_csv, render_markdown
from toolchain.workspace.atomic import write_bytes, write_json

MAX_LISTED = 20  # bad frames named in an error
READERS = 8  # threads that inspect files before the evaluation


def evaluate(request: EvaluateRequest, listener: Listener | None = None) -> EvaluateResult:
    """Score every model on every frame; write evaluation.json, .csv and .md.

    Existing results are replaced only by complete new ones.

    Args:
        request: Models and dataset.
        listener: Listener for progress.

    Returns:
        The results.

    Raises:
        EvaluationError: A frame is bad and bad frames are not skipped, no frame is good, an output
            is NaN or infinite, or the cluster fails.
        CheckpointError: The checkpoint is invalid.
        ValidationError: A model cannot be run.
        WorkspaceError: Results cannot be written.
    """
    evaluation = _Evaluation(request, listener or SilentListener())
    evaluation.inspect()
    records = [ScoreRecords(request, model) for model in request.models]
    evaluation.compare(records)
    with contextlib.ExitStack() as stack:
        cluster = None
        if request.cluster is not None and any(map(evaluation.tasks, records)):
            cluster = stack.enter_context(connect(request.cluster, request.workers))
        for model, record in zip(request.models, records, strict=True):
            evaluation.score(model, record, cluster)
    pairs = list(zip(request.models, records, strict=True))
    result = summarize_scores(request, evaluation.good(), evaluation.faults(), pairs)
    write_json(request.target, result)
    write_bytes(request.target.with_suffix(".csv"), render_csv(result).encode())
    write_bytes(request.target.with_suffix(".md"), render_markdown(result).encode())
    return EvaluateResult(result, request.target, evaluation.scored)


def inspect_frames(dataset: Dataset, listener: Listener | None = None) -> dict[int, Fault]:
    """Find frames that are bad, as far as it shows without decoding them, by index."""

    def inspect(item: Item) -> Fault | None:
        try:
            item.inspect()
        except FrameError as error:
            return Fault.from_error(error, item.name, dataset.root)
        return None

    found = {}
    listener = listener or SilentListener()
    with (
        ThreadPoolExecutor(READERS, "inspect") as pool,
        listener.task("Inspecting the frames", len(dataset.items), "frames") as task,
    ):
        for index, fault in enumerate(pool.map(inspect, dataset.items)):
            if fault is not None:
                found[index] = fault
            task.reach(index + 1)
    return found


class _Evaluation:
    """State of an evaluation: good and bad frames, their keys."""

    def __init__(self, request: EvaluateRequest, listener: Listener) -> None:
        self._request = request
        self._listener = listener
        self._bad: dict[int, Fault] = {}
        self._keys: dict[int, str] = {}
        self.scored = 0

    def inspect(self) -> None:
        self._bad = inspect_frames(self._request.dataset, self._listener)
        self._check()

    def compare(self, records: list[ScoreRecords]) -> None:
        """Compute the keys of frames that have scores, to detect changed ones."""
        items = self._request.dataset.items
        known = [n for n in self.good() if any(record.key(items[n].name) for record in records)]
        if not known:
            return
        label = "Comparing with existing scores"
        with (
            ThreadPoolExecutor(READERS, "compare") as pool,
            self._listener.task(label, len(known), "frames") as task,
        ):
            found = pool.map(self._key, (items[n] for n in known))
            for done, (index, key) in enumerate(zip(known, found, strict=True), 1):
                if isinstance(key, str):
                    self._keys[index] = key
                else:
                    self._bad[index] = key
                task.reach(done)
        self._check()

    def score(self, model: EvaluatedModel, records: ScoreRecords, cluster: Cluster | None) -> None:
        tasks = self.tasks(records)
        items = self._request.dataset.items
        label = f"Evaluating {model}"
        if len(tasks) < len(self.good()):
            self._listener.note(
                f"{label}: {len(self.good()) - len(tasks)} frames already have scores"
            )
        if tasks:
            with (
                records.journal,
                self._listener.task(label, len(tasks), "frames") as task,
                # Close the generator at once on errors, not at garbage collection.
                contextlib.closing(self._outcomes(model, tasks, cluster)) as outcomes,
            ):
                for done, (scorer, outcome) in enumerate(outcomes, 1):
                    if isinstance(outcome, BadFrame):
                        self._bad[outcome.index] = outcome.fault
                        self._check()
                    else:
                        self._enter(outcome, scorer, records, items[outcome.index].name)
                    task.reach(done)
        if not self.good():
            raise self._error("no frame of the dataset can be used")

    def tasks(self, records: ScoreRecords) -> list[FrameTask]:
        """List good frames without scores, or with scores of another content."""
        items = self._request.dataset.items
        return [
            FrameTask(n, items[n])
            for n in self.good()
            if n not in self._keys or records.key(items[n].name) != self._keys[n]
        ]

    def good(self) -> list[int]:
        """Indices of the good frames, in order."""
        return [n for n in range(len(self._request.dataset.items)) if n not in self._bad]

    def faults(self) -> list[Fault]:
        """Faults of the bad frames, in order."""
        return [*self._request.dataset.faults, *(self._bad[index] for index in sorted(self._bad))]

    def _key(self, item: Item) -> str | Fault:
        try:
            return item.read().key
        except FrameError as error:
            return Fault.from_error(error, item.name, self._request.dataset.root)

    def _outcomes(
        self, model: EvaluatedModel, tasks: list[FrameTask], cluster: Cluster | None
    ) -> Generator[tuple[Scorer, ScoredFrame | BadFrame], None, None]:
        root = self._request.dataset.root
        if cluster is not None:
            yield from cluster.outcomes(model, tasks, root)
            return
        scorer, outcomes = score_frames(model, tasks, root)
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                yield scorer, outcome

    def _enter(
        self, outcome: ScoredFrame, scorer: Scorer, records: ScoreRecords, name: str
    ) -> None:
        own = current_scorer(scorer.executed)
        if (scorer.code, scorer.tools) != (own.code, own.tools):
            raise EvaluationError(
                "a worker of the cluster runs another version of the toolchain or of its libraries",
                kept="Its scores were not used.",
                hint="Install the same versions there: see constraints.txt.",
            )
        if self._keys.setdefault(outcome.index, outcome.key) != outcome.key:
            raise EvaluationError(
                f"{name}: changed during the evaluation",
                kept="No results were written.",
                hint="Run the same command again.",
            )
        records.enter(name, outcome, scorer)
        self.scored += 1

    def _check(self) -> None:
        """Stop at bad frames unless they are to be skipped."""
        if self._request.skip_bad or not self.faults():
            return
        total = len(self._request.dataset.items) + len(self._request.dataset.faults)
        raise self._error(f"{len(self.faults())} of {total} frames cannot be used")

    def _error(self, what: str) -> EvaluationError:
        faults = self.faults()
        lines = [f"{what}:", *(f"  {fault}" for fault in faults[:MAX_LISTED])]
        if len(faults) > MAX_LISTED:
            lines.append(f"  and {len(faults) - MAX_LISTED} more")
        return EvaluationError(
            "\n".join(lines),
            kept="Existing scores are kept; no results were written.",
            hint="Fix or remove them, or leave them out with --skip-bad.",
        )
