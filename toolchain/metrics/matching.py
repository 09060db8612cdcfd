"""Match tensors of the exported graph to steps of the original, by name and structure.

Both record the module and the operator; steps of one operator in one module have the same order in
both. Where an exporter dropped or fused some, shapes decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """`scope`: the module's name, "" for the network itself.  `operator`: in ONNX's terms."""

    scope: str
    operator: str
    shape: tuple[int, ...]


def match(tensors: Mapping[str, Step], steps: Sequence[Step]) -> dict[str, int]:
    """Map each tensor that can be matched to the index of the step that computed it.

    `tensors` and `steps` in the order of execution.  Tensors are matched
    within each module first; the rest, such as those an exporter moved to another module, by
    operator and shape alone.
    """
    found: dict[str, int] = {}
    order = list(range(len(steps)))
    for same in (_module, _shape):
        names = [name for name in tensors if name not in found]
        taken = set(found.values())
        left = [index for index in order if index not in taken]
        mine = _grouped(names, (same(tensors[name]) for name in names))
        theirs = _grouped(left, (same(steps[index]) for index in left))
        for key, group in mine.items():
            others = theirs.get(key, [])
            if len(group) == len(others):  # a wrong attribute may even change the shape
                found.update(zip(group, others, strict=True))
                continue
            pairs = _aligned(
                [tensors[name].shape for name in group], [steps[index].shape for index in others]
            )
            found.update((group[one], others[other]) for one, other in pairs)
    return found


def _module(step: Step) -> Hashable:
    return step.scope, step.operator


def _shape(step: Step) -> Hashable:
    return step.operator, step.shape


def _grouped(items: Iterable[str | int], keys: Iterable[Hashable]) -> dict[Hashable, list[Any]]:
    groups: dict[Hashable, list[Any]] = defaultdict(list)
    for item, key in zip(items, keys, strict=True):
        groups[key].append(item)
    return groups


def _aligned(one: Sequence[Hashable], other: Sequence[Hashable]) -> list[tuple[int, int]]:
    """The longest common subsequence, as pairs of indices."""
    best = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in reversed(range(len(one))):
        for j in reversed(range(len(other))):
            best[i][j] = (
                best[i + 1][j + 1] + 1
                if one[i] == other[j]
                else max(best[i + 1][j], best[i][j + 1])
            )
    pairs, i, j = [], 0, 0
    while i < len(one) and j < len(other):
        if one[i] == other[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs
