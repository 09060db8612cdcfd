"""Comparison of the variants' inner tensors with those of the original, on one frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from toolchain.definitions.arrays import Array
from toolchain.definitions.variants import Variant
from toolchain.frames.frame import Frame
from toolchain.metrics.layerwise import LayerDifference, compare_tensors, exceeds_limit
from toolchain.metrics.matching import match
from toolchain.runtimes.graph import Ranking, Tensor
from toolchain.runtimes.intermediates import Intermediates
from toolchain.runtimes.operator_recorder import OperatorRecorder


class OriginalTensors:
    """The original's inner tensors, by their names in the exported graph.

    Attributes:
        frame: The frame.
        ranking: How the graph selects patches, None if it refines none or all.
        tensors: The tensors that have a counterpart in the original, in execution order.
        unmatched: Names of the others.
    """

    def __init__(
        self,
        recorder: OperatorRecorder,
        graph: Sequence[Tensor],
        frame: Frame,
        ranking: Ranking | None = None,
    ) -> None:
        self.frame = frame
        self.ranking = ranking
        self._recorder = recorder
        steps = {tensor.name: tensor.step for tensor in graph}
        self._matched = match(steps, recorder.steps(frame.src, frame.bgr))
        self.tensors = {tensor.name: tensor for tensor in graph if tensor.name in self._matched}
        self.unmatched = [name for name in steps if name not in self._matched]

    def read(self, names: Iterable[str], places: Array | None = None) -> dict[str, Array]:
        """Read tensors.

        Args:
            names: Names of the tensors.
            places: See `Recorder.values`.

        Returns:
            The values by name, in the exported shape if the number of values is the same.
        """
        steps = {name: self._matched[name] for name in names}
        frame = self.frame
        values = self._recorder.values(frame.src, frame.bgr, set(steps.values()), places)
        found = {}
        for name, step in steps.items():
            shape, value = self.tensors[name].shape, values[step]
            found[name] = value.reshape(shape) if value.size == math.prod(shape) else value
        return found


@dataclass
class VariantTensors:
    """Inner tensors of one variant.

    Attributes:
        variant: The variant.
        tensors: Reads them.
        original: Those of the original.
        limit: Limit on relative differences, None for none.
        share: Share of values that may be over the limit where top-k or a comparison chose.
        found: Differences by tensor.
        changed: Largest change of pha and fgr caused by reading inner tensors, which may prevent
            the runtime from fusing layers.
        first: The first tensor over its limit.
    """

    variant: Variant
    tensors: Intermediates
    original: OriginalTensors
    limit: float | None
    share: float
    found: dict[str, LayerDifference] = field(default_factory=dict)
    changed: float = 0.0
    first: Tensor | None = None

    def __post_init__(self) -> None:
        frame = self.original.frame
        self._plain = self.tensors.read((), frame.src, frame.bgr)

    def known(self) -> dict[str, Tensor]:
        """Return the tensors that both this variant and the original have, in execution order."""
        both = self.original.tensors.items()
        return {name: tensor for name, tensor in both if name in self.tensors.names}

    def compare(self, original: Mapping[str, Array]) -> None:
        """Read the tensors of `original` that this variant has, and record their differences.

        Tensors after the selection are compared with an original that refines the same cells.
        """
        frame, ranking = self.original.frame, self.original.ranking
        names = [name for name in original if name in self.tensors.names]
        after = [name for name in names if self.original.tensors[name].after]
        follow = ranking is not None and after and ranking.places in self.tensors.names
        wanted = [*names, ranking.places] if ranking is not None and follow else names
        values = self.tensors.read(wanted, frame.src, frame.bgr)
        expected = dict(original)
        if ranking is not None and follow:
            expected.update(self.original.read(after, values[ranking.places]))
        limit = math.inf if self.limit is None else self.limit
        for name in names:
            self.found[name] = compare_tensors(expected[name], values[name], limit)
        for name, plain in self._plain.items():
            change = np.nan_to_num(np.abs(values[name] - plain), nan=0.0)
            self.changed = max(self.changed, float(change.max()))

    def exceeds_limit(self, tensor: Tensor) -> bool:
        """Return whether a compared tensor is over its limit."""
        if self.limit is None:
            return False
        return exceeds_limit(self.found[tensor.name], self._share(tensor))

    def _share(self, tensor: Tensor) -> float:
        """Permitted share; `share` counts all cells, so it is larger among the selected ones."""
        if not tensor.chosen:
            return 0.0
        ranking = self.original.ranking
        return self.share * (ranking.crowding if ranking and tensor.ranked else 1.0)

    def sentence(self) -> str | None:
        """Describe `first` in a sentence, None without one."""
        if self.first is None:
            return None
        found = self.found[self.first.name]
        if not found.finite:
            how = "contains NaN or infinite values"
        elif math.isinf(found.relative):
            how = "has another shape"
        elif self.first.chosen:
            how = f"differs in {found.over:.2%} of its values"
        else:
            how = f"differs by {found.relative:.2g} of its largest value"
        inputs = ", ".join(f"{name} {self._shown(name)}" for name in self.first.inputs)
        return (
            f"{self.variant}: the first tensor over its limit is {self.first.name}, "
            f"computed by {self.first.node} ({self.first.operator}); it {how}, its inputs: {inputs}"
        )

    def _shown(self, name: str) -> str:
        if name in self.found:
            return f"{self.found[name].relative:.1g}"
        return "not compared" if name in self.original.tensors else "an input"

    def as_json(self) -> dict[str, Any]:
        """Return everything that was measured."""
        first: dict[str, Any] | None = None
        if self.first is not None:
            first = {
                **self._row(self.first),
                "attributes": self.first.attributes,
                "inputs": [
                    self._row(self.original.tensors[name])
                    if name in self.found
                    else {"tensor": name}
                    for name in self.first.inputs
                ],
                "sentence": self.sentence(),
            }
        known = self.known()
        return {
            **self.variant.as_json(),
            "executed": self.tensors.executed,
            "limit": self.limit,
            "share": self.share,
            "verdict": "pass" if self.first is None else "fail",
            "first": first,
            "changed_by_reading": self.changed,
            "not_in_this_variant": [name for name in self.original.tensors if name not in known],
            "tensors": [self._row(known[name]) for name in known if name in self.found],
        }

    def _row(self, tensor: Tensor) -> dict[str, Any]:
        return {
            "tensor": tensor.name,
            "node": tensor.node,
            "operator": tensor.operator,
            "shape": list(tensor.shape),
            "chosen": tensor.chosen,
            "after_top_k": tensor.after,
            **asdict(self.found[tensor.name]),
            "is_over": self.exceeds_limit(tensor),
        }
