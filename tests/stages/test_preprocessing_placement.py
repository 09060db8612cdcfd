"""Preprocessing is moved to where less data passes; results stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as op
from openvino.preprocess import PrePostProcessor

from toolchain.stages.convert.clamps import fuse_clamps
from toolchain.stages.convert.preprocessing_placement import move_preprocessing

HEIGHT, WIDTH = 8, 12
Build = Callable[[list[Any]], list[Any]]
GENERATOR = np.random.default_rng(3)


def weights(*shape: int) -> np.ndarray[Any, Any]:
    return GENERATOR.standard_normal(shape).astype(np.float32)


def model(
    build: Build, *, mean: float | None = None, scale: float | list[float] = 255.0
) -> openvino.Model:
    """`build` on `src` and `bgr`, 1 x 3 x 8 x 12, with reversal and scaling of the inputs."""
    frames = [op.parameter([1, 3, HEIGHT, WIDTH], np.float32, name=name) for name in ("src", "bgr")]
    made = openvino.Model(build(frames), frames, "m")
    steps = PrePostProcessor(made)
    for index in range(2):
        info = steps.input(index)
        info.tensor().set_layout(openvino.Layout("NCHW"))
        info.model().set_layout(openvino.Layout("NCHW"))
        info.preprocess().reverse_channels()
        if mean is not None:
            info.preprocess().mean(mean)
        info.preprocess().scale(scale)
    return steps.build()


def results(made: openvino.Model) -> list[np.ndarray[Any, Any]]:
    compiled = openvino.Core().compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    generator = np.random.default_rng(5)
    frames = [generator.integers(0, 256, (1, 3, HEIGHT, WIDTH)).astype(np.float32) for _ in "ab"]
    found = compiled(dict(enumerate(frames)))
    return [np.array(found[port]) for port in compiled.outputs]


def kinds(made: openvino.Model) -> list[str]:
    return [node.get_type_name() for node in made.get_ordered_ops()]


def halved(frame: Any) -> Any:
    """Downsample by a convolution over blocks of four pixels."""
    blocks = op.reshape(frame, np.array([3, HEIGHT, WIDTH // 4, 4]), False)
    blocks = op.transpose(blocks, np.array([0, 3, 1, 2]))
    made = op.convolution(blocks, op.constant(weights(2, 4, 2, 1)), [2, 1], [0, 0], [0, 0], [1, 1])
    made = op.transpose(made, np.array([0, 2, 3, 1]))
    return op.reshape(made, np.array([1, 3, HEIGHT // 2, WIDTH // 2]), False)


def cut(frame: Any) -> Any:
    """Five pixels of each plane."""
    planes = op.reshape(frame, np.array([3, HEIGHT * WIDTH]), False)
    return op.gather(planes, np.array([3, 17, 17, 40, 95]), np.array(1))


def convolved(x: Any, channels: int) -> Any:
    kernel = op.constant(weights(4, channels, 3, 3))
    return op.convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1])


def masked(frames: list[Any]) -> list[Any]:
    """Concatenate both frames, mask some pixels, then convolve."""
    mask = op.less(op.reduce_max(frames[0], np.array([1]), True), np.float32(0.9))
    joined = op.concat([halved(frame) for frame in frames], 1)
    plane = op.convert(op.slice(mask, [0, 0], [HEIGHT, WIDTH], [2, 2], [2, 3]), "f32")
    return [convolved(op.multiply(joined, plane), 6)]


def by_colour(frames: list[Any]) -> list[Any]:
    """Scale each colour by another number."""
    parts = op.split(frames[0], np.array(1), 3).outputs()
    return [op.multiply(part, np.float32(1 + index)) for index, part in enumerate(parts)]


CASES: dict[str, Build] = {
    "downsampled": lambda frames: [halved(frame) for frame in frames],
    "cut out": lambda frames: [cut(frame) for frame in frames],
    "several readers": lambda frames: [halved(frames[0]), cut(frames[0]), op.relu(frames[1])],
    "concatenated and convolved": lambda frames: [
        convolved(op.concat([halved(frame) for frame in frames], 1), 6)
    ],
    "concatenated, masked and convolved": masked,
    "concatenated, convolved and read directly": lambda frames: [
        convolved(joined := op.concat([halved(frame) for frame in frames], 1), 6),
        op.relu(joined),
    ],
    "colour by colour": by_colour,
}


@pytest.mark.parametrize("scale", [255.0, [250.0, 130.0, 60.0]], ids=["one", "each"])
@pytest.mark.parametrize("case", CASES)
def test_results_stay_the_same(case: str, scale: float | list[float]) -> None:
    """For every graph, with one scale for all channels or one for each."""
    made = model(CASES[case], scale=scale)
    expected = results(made)
    move_preprocessing(made)
    made.validate_nodes_and_infer_types()
    for one, other in zip(expected, results(made), strict=True):
        assert float(np.abs(one - other).max()) < 1e-5 * max(1.0, float(np.abs(one).max()))


@pytest.mark.parametrize("case", ["downsampled", "cut out"])
def test_less_data_is_reversed_and_scaled(case: str) -> None:
    """Scaling applies to tensors smaller than the frames."""
    made = model(CASES[case])
    move_preprocessing(made)
    for node in made.get_ordered_ops():
        if node.get_type_name() == "Multiply":
            assert np.prod(node.get_output_shape(0)) < 3 * HEIGHT * WIDTH / 2


@pytest.mark.parametrize("case", ["concatenated and convolved", "colour by colour"])
def test_reversal_needs_no_copy(case: str) -> None:
    """Order and scale are folded into weights; single colours are connected in reverse order."""
    made = model(CASES[case])
    assert "Gather" in kinds(made)
    move_preprocessing(made)
    assert "Gather" not in kinds(made)


@pytest.mark.parametrize(
    ("build", "mean"),
    [(lambda frames: [halved(frame) for frame in frames], 3.0), (lambda f: [op.relu(f[0])], None)],
    ids=["with a mean value", "read directly"],
)
def test_other_graphs_are_not_changed(build: Build, mean: float | None) -> None:
    """A mean does not commute with convolutions, and some graphs have nothing that commutes."""
    made = model(build, mean=mean)
    before = [(node.get_name(), node.get_type_name()) for node in made.get_ordered_ops()]
    move_preprocessing(made)
    assert [(node.get_name(), node.get_type_name()) for node in made.get_ordered_ops()] == before


def test_names_stay_with_preprocessed_tensors() -> None:
    """A name moves to the reversed and scaled tensor; raw tensors lose theirs."""
    made = model(lambda frames: [op.relu(halved(frame)) for frame in frames])
    (relu, _) = (node for node in made.get_ordered_ops() if node.get_type_name() == "Relu")
    named = relu.input_value(0)
    named.set_names({"small"})
    named.get_node().input_value(0).set_names({"inner"})
    made.add_outputs(["small"])
    (expected,) = results(made)[2:]
    move_preprocessing(made)
    made.validate_nodes_and_infer_types()
    names = {
        name: port for node in made.get_ops() for port in node.outputs() for name in port.names
    }
    assert "inner" not in names
    assert names["small"].get_node().get_type_name() == "Multiply"
    assert np.allclose(results(made)[2], expected, atol=1e-6)


def test_maximum_and_minimum_become_a_clamp() -> None:
    """A maximum and then a minimum with numbers become one node; others are not changed."""
    x = op.parameter([2, 5], np.float32, name="x")

    def bounded(value: Any, low: float, high: float) -> Any:
        return op.minimum(op.maximum(value, np.float32(low)), np.float32(high))

    other = op.minimum(op.maximum(x, op.relu(x)), np.float32(1))
    made = openvino.Model([bounded(x, 0, 6), bounded(x, 2, 1), other], [x], "m")
    feed = {0: np.linspace(-9, 9, 10).reshape(2, 5).astype(np.float32)}
    before = [
        np.array(value) for value in openvino.Core().compile_model(made, "CPU")(feed).values()
    ]
    fuse_clamps(made)
    assert kinds(made).count("Clamp") == 1
    assert kinds(made).count("Minimum") == 2
    after = openvino.Core().compile_model(made, "CPU")(feed).values()
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
