"""Tensors of an export find the steps that made them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toolchain.metrics.matching import Step, match

steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["", "decoder", "aspp.project.0"]),
        st.sampled_from(["Conv", "Relu"]),
        st.sampled_from([(1, 4), (1, 8)]),
    ),
    max_size=12,
)


@given(steps=steps)
def test_a_faithful_export_is_matched_step_by_step(steps: list[Step]) -> None:
    """Nothing is left over and nothing is crossed."""
    assert match({str(i): step for i, step in enumerate(steps)}, steps) == {
        str(i): i for i in range(len(steps))
    }


@given(steps=steps, dropped=st.sets(st.integers(0, 11)))
def test_whatever_was_dropped_each_match_is_of_one_kind_and_in_order(
    steps: list[Step], dropped: set[int]
) -> None:
    """Within a module and operator order is kept, and no step is used twice."""
    kept = {str(i): step for i, step in enumerate(steps) if i not in dropped}
    found = match(kept, steps)
    assert set(found) == set(kept)
    assert len(set(found.values())) == len(found)
    for name, index in found.items():
        assert steps[index].operator == kept[name].operator
    for scope in {(step.scope, step.operator) for step in steps}:
        order = [
            found[name]
            for name, step in kept.items()
            if (step.scope, step.operator) == scope
            and (steps[found[name]].scope, steps[found[name]].operator) == scope
        ]
        assert order == sorted(order)


def test_shapes_decide_where_one_of_several_was_fused_away() -> None:
    """Two pads in the network, one in the export: the one of the same shape."""
    pads = [Step("", "Pad", (1, 42, 102, 166)), Step("", "Pad", (1, 6, 196, 324))]
    assert match({"pad_1": pads[1]}, pads) == {"pad_1": 1}


def test_a_tensor_of_another_shape_is_still_matched_by_its_place() -> None:
    """A wrong attribute may change a shape; that must be found, not skipped."""
    steps_ = [Step("a", "Resize", (1, 2)), Step("a", "Resize", (1, 4))]
    graph = {"one": Step("a", "Resize", (1, 2)), "two": Step("a", "Resize", (1, 5))}
    assert match(graph, steps_) == {"one": 0, "two": 1}


def test_what_an_exporter_moved_to_another_module_is_matched_by_kind_and_shape() -> None:
    """The last resort, still in order."""
    assert match(
        {"e": Step("aspp", "Expand", (1, 9))}, [Step("aspp.convs.4", "Expand", (1, 9))]
    ) == {"e": 0}
