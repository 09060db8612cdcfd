"""Errors against the network in float64: what is compared, on which scale, and what is judged."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from toolchain.metrics.errors import ILL_CONDITIONED, Errors, is_ill_conditioned, stages_as_json
from toolchain.metrics.errors import combine_own_errors as combine
from toolchain.runtimes.base import Inference


def inference(value: float = 0.0, **inner: np.ndarray) -> Inference:
    """Constant outputs of 8x8 pixels; no patch is refined."""
    pha, fgr = np.full((8, 8), value), np.full((8, 8, 3), value)
    return Inference(pha, fgr, np.zeros((2, 2), np.bool_), inner=inner)


def errors_of(reference: Inference, *found: Inference) -> Errors:
    errors = Errors()
    for each in found:
        errors.add(reference, each)
    return errors


def test_errors_are_summed_up_over_frames() -> None:
    """Largest and rms over both frames; `add` returns the largest of its own frame."""
    errors = Errors()
    assert errors.add(inference(), inference(0.3)) == pytest.approx(0.3)
    assert errors.add(inference(), inference(0.1)) == pytest.approx(0.1)
    for name in ("pha", "fgr"):
        error = errors.result()[name]
        assert error.max == pytest.approx(0.3)
        assert error.rms == pytest.approx(math.sqrt((0.09 + 0.01) / 2))


def test_outputs_are_compared_outside_differently_chosen_patches() -> None:
    """Where one side is refined and the other is not, a difference is no error."""
    reference = inference()
    found = replace(inference(), pha=np.zeros((8, 8)), ref=np.array([[True, False], [False] * 2]))
    found.pha[:4, :4] = 1.0
    found.pha[5, 5] = 0.25
    assert errors_of(reference, found).result()["pha"].max == 0.25
    same = replace(found, ref=reference.ref)
    assert errors_of(reference, same).result()["pha"].max == 1.0


def test_inner_tensors_are_relative_to_their_largest_value() -> None:
    """Those of values 0..1 are not: a tensor that is nearly zero is not made strict by it."""
    large = np.full((1, 2, 2, 2), -50.0)
    reference = inference(hid_sm=large, err_sm=large / 5000)
    found = inference(hid_sm=large + 0.5, err_sm=large / 5000 + 0.001)
    result = errors_of(reference, found).result()
    assert result["hid_sm"].max == pytest.approx(0.5 / 50)
    assert result["err_sm"].max == pytest.approx(0.001)


def test_refined_patches_are_compared_where_both_refined_them() -> None:
    """Elsewhere the tensor of refined patches means nothing."""
    zero, one = np.zeros((1, 4, 8, 8)), np.ones((1, 4, 8, 8))
    mine, other = np.array([[True, True], [False] * 2]), np.array([[True, False], [True, False]])
    reference = replace(inference(refined=zero), ref=mine)
    one[:, :, :4, :4] = 0.125
    found = replace(inference(refined=one), ref=other)
    error = errors_of(reference, found).result()["refined"]
    assert error.difference.values == 4 * 16
    assert error.difference.max_abs == 0.125


def test_a_tensor_of_another_shape_is_left_out() -> None:
    """Another graph may have another tensor under the same name."""
    reference = inference(hid_sm=np.zeros((1, 1, 2, 2)))
    found = inference(hid_sm=np.zeros((1, 1, 4, 4)))
    assert set(errors_of(reference, found).result()) == {"pha", "fgr"}


def test_the_own_error_is_the_larger_of_two_orders_of_summation() -> None:
    """A way of computing that happens to be exact does not set an impossible limit."""
    exact = errors_of(inference(), inference())
    rounded = errors_of(inference(), inference(1e-6), inference(3e-6))
    assert combine([exact, rounded])["pha"] == combine([rounded, exact])["pha"]
    largest, rms = combine([exact, rounded])["pha"]
    assert largest == pytest.approx(3e-6)
    assert rms == pytest.approx(math.sqrt(5) * 1e-6)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (ILL_CONDITIONED, False),
        (math.nextafter(ILL_CONDITIONED, 1), True),
        (math.inf, True),
        (math.nan, True),
    ],
)
@pytest.mark.parametrize("name", ["pha", "fgr"])
def test_weights_are_ill_conditioned_beyond_a_thousandth(
    name: str, own: float, expected: bool
) -> None:
    """If the original itself errs by more in any output, or has no number."""
    fine = {"pha": (1e-6, 1e-7), "fgr": (1e-6, 1e-7), "hid_sm": (1.0, 1.0)}
    assert is_ill_conditioned({**fine, name: (own, own)}) == expected


def test_stages_list_both_errors_on_one_absolute_scale() -> None:
    """So that a reader can divide them."""
    large = np.full((1, 2, 2, 2), 50.0)
    errors = errors_of(inference(hid_sm=large), inference(0.25, hid_sm=large + 0.5))
    rows = {row["name"]: row for row in stages_as_json(errors.result(), {"hid_sm": (1e-3, 1e-4)})}
    (hidden,) = rows["base"]["tensors"]
    assert (hidden["name"], hidden["max_abs"], hidden["own_max_abs"]) == ("hid_sm", 0.5, 0.05)
    assert hidden["own_rmse"] == pytest.approx(5e-3)
    assert rows["merge"]["would_pass"] == 0.25
    assert rows["downsample"] == {"name": "downsample", "tensors": [], "would_pass": None}
