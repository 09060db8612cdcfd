"""Exact sums: the split never shows in the total."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.metrics.exact import ExactSum
from toolchain.metrics.totals import ByClip

numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(values=st.lists(numbers, max_size=60), data=st.data())
def test_any_split_in_any_order_gives_the_same_bits(
    values: list[float], data: st.DataObject
) -> None:
    """Shards of any size, merged in any order, by way of JSON, give the correctly rounded sum."""
    shuffled = data.draw(st.permutations(values))
    shards: list[ExactSum] = [ExactSum()]
    for value in shuffled:
        if data.draw(st.booleans()):
            shards.append(ExactSum())
        shards[-1].add(value)
    total = ExactSum()
    for shard in data.draw(st.permutations(shards)):
        total.merge(ExactSum(json.loads(json.dumps(shard.parts))))
    assert total.value == math.fsum(values)
    assert sum(map(Fraction, total.parts)) == sum(map(Fraction, values))


rows = st.lists(st.tuples(st.sampled_from("abc"), st.tuples(numbers, numbers)), min_size=1)


@given(frames=rows, data=st.data())
def test_means_by_clip_do_not_depend_on_the_shards(
    frames: list[tuple[str, tuple[float, float]]], data: st.DataObject
) -> None:
    """Each clip's mean and the total's are bit for bit those of one pass over all frames."""
    whole = ByClip(2)
    for clip, scores in frames:
        whole.add(clip, scores)
    shards = [ByClip(2), ByClip(2), ByClip(2)]
    for clip, scores in data.draw(st.permutations(frames)):
        data.draw(st.sampled_from(shards)).add(clip, scores)
    merged = ByClip(2)
    for shard in shards:
        merged.merge(shard)
    assert merged.total().means() == whole.total().means()
    assert merged.total().frames == len(frames)
    for clip, totals in whole.clips.items():
        assert merged.clips[clip].means() == totals.means()
        assert merged.clips[clip].frames == totals.frames


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(number: float) -> None:
    """NaN and infinity never enter a sum, and neither does a sum beyond all floats."""
    total = ExactSum([1.5])
    with pytest.raises(ValueError, match="summed up"):
        total.add(number)
    assert total.value == 1.5
    huge = ExactSum([1.7e308])
    with pytest.raises(ValueError, match="too large"):
        huge.add(1.7e308)
