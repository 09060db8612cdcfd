"""Bisection finds a tensor that is bad though all it is made from is good, in few looks."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from toolchain.metrics.bisection import find_first_bad


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Any directed graph without cycles, parents first, all leading to the last tensor."""
    size = draw(st.integers(1, 30))
    parents: dict[str, tuple[str, ...]] = {}
    for index in range(size):
        earlier = [f"t{i}" for i in range(index)]
        chosen = (
            draw(st.lists(st.sampled_from(earlier), max_size=3, unique=True)) if earlier else []
        )
        parents[f"t{index}"] = tuple(chosen)
    led_on = {name for chosen in parents.values() for name in chosen}
    last = f"t{size - 1}"
    loose = tuple(name for name in parents if name not in led_on and name != last)
    parents[last] = tuple(dict.fromkeys((*parents[last], *loose)))
    return parents


def affected(parents: dict[str, tuple[str, ...]], culprit: str) -> set[str]:
    bad = {culprit}
    for name, made_from in parents.items():
        if bad.intersection(made_from):
            bad.add(name)
    return bad


@given(parents=graphs(), data=st.data())
def test_one_fault_that_shows_in_all_that_follows_is_found_exactly(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    """It is named, and no tensor is looked at twice."""
    culprit = data.draw(st.sampled_from(sorted(parents)))
    bad = affected(parents, culprit)
    asked: list[str] = []

    def is_bad(name: str) -> bool:
        asked.append(name)
        return name in bad

    assert find_first_bad(parents, [list(parents)[-1]], is_bad) == culprit
    assert len(asked) == len(set(asked))


@given(parents=graphs(), data=st.data())
def test_whatever_is_bad_the_one_named_is_bad_and_its_parents_are_good(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    """Also where a later operator hides a fault, so that good does not mean all before is good."""
    bad = data.draw(st.sets(st.sampled_from(sorted(parents)), min_size=1))
    end = list(parents)[-1]
    found = find_first_bad(parents, [end], bad.__contains__)
    if end not in bad:
        assert found is None
    else:
        assert found in bad
        assert not bad.intersection(parents[found])


def test_a_long_chain_takes_a_logarithm_of_looks() -> None:
    """A thousand tensors in a row need about ten."""
    parents = {f"t{i}": (f"t{i - 1}",) if i else () for i in range(1000)}
    asked: list[str] = []

    def is_bad(name: str) -> bool:
        asked.append(name)
        return int(name[1:]) >= 637

    assert find_first_bad(parents, ["t999"], is_bad) == "t637"
    assert len(asked) <= math.log2(1000) + 3


def test_a_graph_without_fault_takes_one_look_an_end() -> None:
    """Good ends are all there is to ask about."""
    asked: list[str] = []

    def is_bad(name: str) -> bool:
        asked.append(name)
        return False

    assert find_first_bad({"a": (), "b": ("a",), "c": ("a",)}, ["b", "c"], is_bad) is None
    assert asked == ["b", "c"]
