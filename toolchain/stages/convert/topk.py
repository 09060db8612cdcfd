"""Top-k with the order of ties that ONNX defines."""

from __future__ import annotations

from typing import Any


def make_topk_stable(model: Any) -> None:
    """Let every sorted TopK choose the first of equal values, in place.

    ONNX: "Given two equivalent values, this operator uses the indices along the axis as a
    tiebreaker."  OpenVINO reads it as a TopK that may choose any of them.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() == "TopK" and node.get_attributes().get("sort") == "value":
            node.set_attribute("stable", True)
