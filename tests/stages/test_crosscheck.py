"""Cross-check: a checkpoint has the weights of an ONNX file of known digest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from tests.support.weights import plausible_state
from toolchain.checkpoints.load import load_state_dict
from toolchain.errors import IntegrityError
from toolchain.stages.crosscheck.crosscheck import cross_check
from toolchain.stages.crosscheck.request import CrossCheckRequest


@pytest.fixture(scope="module")
def anchor(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX in which each BatchNorm is folded into its convolution in float32."""
    state = load_state_dict(checkpoint)
    keys, nodes, initializers = list(state), [], []
    for index, key in enumerate(keys):
        if state[key].dim() != 4:
            continue
        weight, norm = state[key], keys[index + 1].rpartition(".")[0]
        if norm == key.removesuffix(".weight"):
            bias = state[f"{norm}.bias"]
        else:
            scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + 1e-5)
            weight = weight * scale[:, None, None, None]
            bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        names = [f"onnx::Conv_{index}", f"onnx::Conv_{index}b"]
        for name, value in zip(names, (weight, bias), strict=True):
            initializers.append(numpy_helper.from_array(value.numpy(), name))
        nodes.append(helper.make_node("Conv", [f"x{index}", *names], [f"y{index}"]))
    path = tmp_path_factory.mktemp("anchor") / "published.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], [], initializers)), path)
    return path


def test_the_same_weights_are_recognized(checkpoint: Path, anchor: Path) -> None:
    """Every convolution has a counterpart, except for rounding."""
    result = cross_check(CrossCheckRequest(checkpoint, anchor))
    assert result.convolutions == 65
    assert 0 <= result.worst < 1e-5


@pytest.mark.parametrize(
    "key",
    ["backbone.features.7.conv.1.1.running_var", "refiner.conv4.bias", "aspp.convs.2.0.weight"],
)
def test_one_changed_tensor_is_an_error(
    key: str, checkpoint: Path, anchor: Path, tmp_path: Path
) -> None:
    """A change of 0.1 % in any kind of tensor."""
    state = load_state_dict(checkpoint)
    state[key] = state[key] * 1.001
    changed = tmp_path / "changed.pth"
    torch.save(state, changed)
    with pytest.raises(IntegrityError, match="1 convolutions differ"):
        cross_check(CrossCheckRequest(changed, anchor))


def test_other_weights_are_an_error(anchor: Path, tmp_path: Path) -> None:
    """No convolution of another training matches."""
    other = tmp_path / "other.pth"
    torch.save(plausible_state(123), other)
    with pytest.raises(IntegrityError, match="65 convolutions differ"):
        cross_check(CrossCheckRequest(other, anchor))


def test_a_damaged_onnx_is_an_error(checkpoint: Path, tmp_path: Path) -> None:
    """The message states that it is not readable."""
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(bytes(np.arange(200, dtype=np.uint8)))
    with pytest.raises(IntegrityError, match="not a readable ONNX"):
        cross_check(CrossCheckRequest(checkpoint, bad))
