"""Audit: the constants in an ONNX or IR are those of the checkpoint, to the bit.

A single wrong weight rarely shows in outputs, so the weights themselves are compared.  Expected
values are computed here from the state dict with numpy, independently of the code that exports:
BatchNorm folded in float64 and rounded once, convolutions that the export rearranges into phases
(see `network.mosaic` and `network.upsampling_convolution`), fixed weights of resizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from toolchain.checkpoints.load import load_state_dict
from toolchain.definitions.arrays import Array, Doubles
from toolchain.runtimes.openvino_api import openvino, operators

EPSILON = 1e-5  # of BatchNorm: PyTorch's default
FRAMES = 6  # input channels that hold both frames
SEEN = 5  # outputs of the decoder that are alpha, foreground and expected error
CONVOLUTIONS = ("Convolution", "GroupConvolution")
CONV = "/Conv"


@dataclass(frozen=True)
class Expected:
    """Expected values of a constant.

    Attributes:
        values: The values, float32, or float64 before rounding to float32.
        rounded: Whether sums were rounded on the way, so that the last bit may differ.
        reads_frames: Whether it is a weight whose input channels are frames: preprocessing may be
            folded into it.
    """

    values: Array
    rounded: bool = False
    reads_frames: bool = False


class ExpectedWeights:
    """Expected constants by the scope of the convolution that reads them.

    Args:
        checkpoint: File of the weights.
    """

    def __init__(self, checkpoint: Path) -> None:
        state = {key: value.numpy() for key, value in load_state_dict(checkpoint).items()}
        self._layers = dict(_folded(state))
        self._parts: dict[str, Expected] = {}
        self._biases: dict[str, Array] = {}
        for name, (weight, bias) in self._layers.items():
            reads_frames = name == "backbone.features.0.0"
            self._add(name, Expected(weight, reads_frames=reads_frames), bias)
        self._add_rearranged()

    def _add(self, name: str, weight: Expected, bias: Array | None = None) -> None:
        self._parts[name] = weight
        if bias is not None:
            self._biases[name] = bias

    def _add_rearranged(self) -> None:
        weight, bias = self._layers["decoder.conv4"]
        self._add("decoder.conv4.first", Expected(weight[:SEEN]), bias[:SEEN])
        self._add("decoder.conv4.others", Expected(weight[SEEN:]), bias[SEEN:])
        weight, bias = self._layers["refiner.conv1"]
        frames, hidden = weight[:, -FRAMES:], weight[:, :-FRAMES]
        self._add("refiner.conv1.frames", Expected(frames, reads_frames=True), bias)
        prefix = "refiner.conv1.hidden"
        self._add(f"{prefix}.conv", Expected(hidden))
        self._add(f"{prefix}.even", Expected(_enlarged_phase(hidden, 0), rounded=True))
        self._add(f"{prefix}.odd", Expected(_enlarged_phase(hidden, 1), rounded=True))
        self._add(f"{prefix}.ends", Expected(_taps(hidden, axis=2)))
        self._add(f"{prefix}.sides", Expected(_taps(hidden, axis=3)))
        features = self._layers["refiner.conv2"][0].shape[0]
        third, bias = self._layers["refiner.conv3"]
        half, full = third[:, :features], third[:, features:]
        self._add("refiner.conv3_half", Expected(_at_half_size(half), rounded=True))
        self._add(
            "refiner.conv3_full",
            Expected(_at_full_size(full), reads_frames=True),
            bias.repeat(4),
        )
        last, bias = self._layers["refiner.conv4"]
        self._phased_bias = bias.repeat(4)
        self._phased_last = last

    def missing(self, scopes: set[str]) -> list[str]:
        """Layers of the checkpoint of which `scopes`, those in a graph, have no convolution."""
        enough: dict[str, tuple[tuple[str, ...], ...]] = {
            "decoder.conv4": (("decoder.conv4.first", "decoder.conv4.others"),),
            "refiner.conv1": tuple(
                ("refiner.conv1.frames", *(f"refiner.conv1.hidden.{part}" for part in parts))
                for parts in (("even", "odd", "ends", "sides"), ("conv",))
            ),
            "refiner.conv3": (("refiner.conv3_half", "refiner.conv3_full"),),
        }
        return [
            name
            for name in self._layers
            if name not in scopes
            and not any(scopes.issuperset(parts) for parts in enough.get(name, ()))
        ]

    def weight(self, scope: str, shape: tuple[int, ...]) -> Expected | None:
        """Return the expected weight of a convolution, None if the network has no such layer."""
        if scope in ("shrunk", "halved"):
            return Expected(_shrinking(shape))
        if scope == "refiner.conv4" and int(np.prod(shape)) != self._phased_last.size:
            return Expected(_in_phases(self._phased_last))
        return self._parts.get(scope)

    def bias(self, scope: str, size: int) -> Expected | None:
        """Return the expected bias of a convolution, None if it has none."""
        if scope == "refiner.conv4" and size == self._phased_bias.size:
            return Expected(self._phased_bias)
        found = self._biases.get(scope)
        return None if found is None else Expected(found)

    @staticmethod
    def table(name: str, shape: tuple[int, ...]) -> Expected | None:
        """Return the expected values of a constant that no convolution reads, None if unknown."""
        if name == "enlarged.across":
            return Expected(_enlarging(shape), rounded=True)
        if name == "enlarged.down":
            return Expected(_enlarging(shape[::-1]).T, rounded=True)
        if name == "refiner.conv1.hidden.border":
            first = np.array([[0.0, 0, -1], [0, -1, 1], [-1, 1, 0], [1, 0, 0]]) / 4
            return Expected(np.stack([first, first[::-1, ::-1]]))
        return None


def audit_onnx(path: Path, expected: ExpectedWeights) -> list[str]:
    """Compare the constants of an ONNX file; returns one sentence per fault."""
    graph = onnx.load(path).graph
    values = {item.name: item for item in graph.initializer}
    faults: list[str] = []
    scopes: set[str] = set()
    readers = {name: node for node in graph.node for name in node.input}
    for node in graph.node:
        if node.op_type == "Conv":
            scope = node.name.partition(CONV)[0]
            scopes.add(scope)
            if _has_relu6(scope):
                clip = readers.get(node.output[0])
                bounds = [
                    float(numpy_helper.to_array(values[name])) if name in values else None
                    for name in (clip.input[1:] if clip is not None else ())
                ]
                faults += _audit_relu6(scope, bounds)
            arrays = [
                numpy_helper.to_array(values[name]) if name in values else None
                for name in node.input[1:]
            ]
            faults += _audit_convolution(expected, scope, *arrays)
        elif node.op_type == "MatMul":
            for name in node.input:
                if name in values:
                    array = numpy_helper.to_array(values[name])
                    faults += _audit_table(expected, name, array)
    return _distinct([*_audit_missing(expected, scopes), *faults])


@dataclass(frozen=True)
class IrAudit:
    """Result of the audit of an IR.

    Attributes:
        faults: One sentence per fault.
        float32_values: Values before rounding of each float16 constant, by the constant's name.
    """

    faults: list[str]
    float32_values: dict[str, Array]


def audit_ir(xml: Path, expected: ExpectedWeights, scale: tuple[float, ...] = (255.0,)) -> IrAudit:
    """Compare the constants of an IR.

    Args:
        xml: The IR.
        expected: Expected values.
        scale: Divisor of the input values, one for all or one per channel.  Conversion may fold it,
            and the reversal of the channels, into weights that read frames.
    """
    faults: list[str] = []
    scopes: set[str] = set()
    before: dict[str, Array] = {}
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # so that the file can be replaced
    for node in core.read_model(xml).get_ordered_ops():
        kind = node.get_type_name()
        if kind in CONVOLUTIONS:
            scope, bias = _scope_and_bias(node)
            scopes.add(scope)
            if _has_relu6(scope):
                faults += _audit_relu6(scope, _clamp_bounds(node))
            faults += _audit_ir_convolution(expected, scope, node, bias, scale, before)
        elif kind == "MatMul":
            faults += _audit_ir_matmul(expected, node, before)
        elif kind == "Convert":
            constant = _constant(node.input_value(0))
            if constant is not None and constant.get_element_type().get_type_name() == "f16":
                before.setdefault(constant.get_friendly_name(), np.empty(0))
    for name in [name for name, values in before.items() if not values.size]:
        del before[name]
        faults.append(f"{name}: a float16 constant that no layer of the network explains")
    return IrAudit(_distinct([*_audit_missing(expected, scopes), *faults]), before)


def _distinct(faults: list[str]) -> list[str]:
    """Each fault once: a constant may have several readers."""
    return list(dict.fromkeys(faults))


def restore_float32(values: Mapping[str, Array]) -> Callable[[Any], None]:
    """Return a function that replaces float16 constants of an IR in memory by float32 values."""

    def edit(model: Any) -> None:
        for node in model.get_ordered_ops():
            if node.get_type_name() != "Constant" or node.get_friendly_name() not in values:
                continue
            exact = values[node.get_friendly_name()].reshape(list(node.get_output_shape(0)))
            constant = operators.constant(np.ascontiguousarray(exact, np.float32))
            for port in node.output(0).get_target_inputs():
                for target in port.get_node().output(0).get_target_inputs():
                    target.replace_source_output(constant.output(0))

    return edit


def _has_relu6(scope: str) -> bool:
    """Whether a ReLU6 follows: in MobileNetV2 after each convolution of a block except the last."""
    return scope.startswith("backbone.features.") and scope.endswith((".0.0", ".1.0"))


def _audit_relu6(scope: str, bounds: list[float | None]) -> Iterator[str]:
    if bounds != [0.0, 6.0]:
        yield f"{scope}: expected a clamp to 0..6 after it, found bounds {bounds}"


def _clamp_bounds(node: Any) -> list[float | None]:
    """Return the bounds of the clamp after a convolution and its bias; empty without one."""
    for _ in range(2):
        readers = _readers(node)
        if len(readers) != 1:
            return []
        (node,) = readers
        if node.get_type_name() == "Clamp":
            attributes = node.get_attributes()
            return [float(attributes["min"]), float(attributes["max"])]
    return []


def _audit_missing(expected: ExpectedWeights, scopes: set[str]) -> Iterator[str]:
    for name in expected.missing(scopes):
        yield f"{name}: the checkpoint's convolution is not in the graph"


def _audit_convolution(
    expected: ExpectedWeights, scope: str, weight: Array | None, bias: Array | None = None
) -> Iterator[str]:
    if weight is None:
        yield f"{scope}: its weight is not a constant"
        return
    demanded = expected.weight(scope, weight.shape)
    if demanded is None:
        yield f"{scope}: a convolution that the network does not have"
        return
    yield from _difference(f"{scope}.weight", weight, [demanded.values], demanded.rounded)
    yield from _audit_bias(expected, scope, bias)


def _audit_bias(expected: ExpectedWeights, scope: str, bias: Array | None) -> Iterator[str]:
    if bias is not None:
        demanded = expected.bias(scope, bias.size)
        if demanded is not None:
            yield from _difference(f"{scope}.bias", bias, [demanded.values], rounded=False)
        elif np.any(bias):
            yield f"{scope}.bias: the layer has no bias"
    elif expected.bias(scope, 0) is not None:
        yield f"{scope}.bias: not found in the graph"


def _audit_table(expected: ExpectedWeights, name: str, array: Array) -> Iterator[str]:
    demanded = expected.table(name, array.shape)
    if demanded is None:
        yield f"{name}: a matrix that the network does not have"
    else:
        yield from _difference(name, array, [demanded.values], demanded.rounded)


def _audit_ir_convolution(
    expected: ExpectedWeights,
    scope: str,
    node: Any,
    bias: Array | None,
    scale: tuple[float, ...],
    before: dict[str, Array],
) -> Iterator[str]:
    constant = _constant(node.input_value(1))
    if constant is None:
        return  # quantized: see `stages.quantize.accuracy_gate`
    array = np.asarray(constant.data)
    demanded = expected.weight(scope, array.shape)
    if demanded is None:
        yield f"{scope}: a convolution that the network does not have"
        return
    forms = [demanded.values]
    if demanded.reads_frames:
        forms += _with_preprocessing(demanded.values, scale)
    if array.dtype == np.float16:
        before[constant.get_friendly_name()] = _nearest(array, forms)
    yield from _difference(f"{scope}.weight", array, forms, demanded.rounded)
    yield from _audit_bias(expected, scope, bias)


def _audit_ir_matmul(
    expected: ExpectedWeights, node: Any, before: dict[str, Array]
) -> Iterator[str]:
    for value in node.input_values():
        constant = _constant(value)
        if constant is None or "." not in constant.get_friendly_name():
            continue
        name, array = constant.get_friendly_name(), np.asarray(constant.data)
        found = expected.table(name, array.shape)
        if array.dtype == np.float16 and found is not None:
            before[name] = found.values.astype(np.float32)
        yield from _audit_table(expected, name, array)


def _scope_and_bias(node: Any) -> tuple[str, Array | None]:
    """Return the scope and the bias of an IR's convolution; the addition after it has the name."""
    readers = _readers(node)
    if len(readers) == 1 and readers[0].get_type_name() == "Add":
        name = readers[0].get_friendly_name()
        constants = [_constant(value) for value in readers[0].input_values()]
        found = next((one for one in constants if one is not None), None)
        if CONV in name and found is not None:
            return name.partition(CONV)[0], np.asarray(found.data)
    return node.get_friendly_name().partition(CONV)[0], None


def _readers(node: Any) -> list[Any]:
    """Return the nodes that read the values; OpenVINO before 2025 reads the shape as well."""
    readers = [target.get_node() for target in node.output(0).get_target_inputs()]
    return [reader for reader in readers if reader.get_type_name() != "ShapeOf"]


def _constant(value: Any) -> Any:
    """Return the float constant before conversions and reshapes, None if there is none."""
    node = value.get_node()
    while node.get_type_name() in ("Convert", "Reshape"):
        node = node.input_value(0).get_node()
    is_float = node.get_type_name() == "Constant" and node.get_element_type().is_real()
    return node if is_float else None


def _nearest(found: Array, forms: list[Array]) -> Array:
    flat = found.astype(np.float64).ravel()
    return min(
        (form.astype(np.float32) for form in forms if form.size == found.size),
        key=lambda form: float(np.abs(flat - form.ravel()).max()),
        default=found.astype(np.float32),
    )


def _difference(name: str, found: Array, forms: list[Array], rounded: bool) -> Iterator[str]:
    """Describe how `found` differs from `forms`, unless it equals one, rounded to its type."""
    sizes = {form.size for form in forms}
    if found.size not in sizes:
        yield f"{name}: {found.size:,} values, expected {min(sizes):,}"
        return
    best: tuple[int, float] | None = None
    for form in forms:
        single = form.astype(np.float32).ravel()
        near = (np.nextafter(single, np.float32(end)) for end in (-np.inf, np.inf) if rounded)
        with np.errstate(over="ignore"):
            good = [values.astype(found.dtype) for values in (single, *near)]
        wrong = np.logical_and.reduce([found.ravel() != values for values in good])
        wrong |= ~np.isfinite(found.ravel())
        scale = float(np.abs(form).max(initial=0.0)) or 1.0
        far = np.abs(found.ravel().astype(np.float64) - form.ravel().astype(np.float64))[wrong]
        worst = int(wrong.sum()), float(np.nan_to_num(far, nan=np.inf).max(initial=0.0)) / scale
        best = worst if best is None else min(best, worst)
    if best is not None and best[0]:
        yield (
            f"{name}: {best[0]:,} of {found.size:,} values are not the checkpoint's; the largest "
            f"difference is {best[1]:.2g} of the largest value"
        )


def _folded(state: Mapping[str, Array]) -> Iterator[tuple[str, tuple[Array, Array]]]:
    """Each convolution with its BatchNorm folded in (Ioffe and Szegedy, arXiv 1502.03167)."""
    keys = list(state)
    for index, key in enumerate(keys):
        weight = state[key].astype(np.float64)
        if weight.ndim != 4:  # noqa: PLR2004 - O x I x kh x kw
            continue
        name = key.removesuffix(".weight")
        norm = keys[index + 1].rpartition(".")[0]
        if norm == name:
            yield name, (state[key], state[f"{name}.bias"])
            continue
        gamma, beta, mean, variance = (
            state[f"{norm}.{entry}"].astype(np.float64)
            for entry in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gamma / np.sqrt(variance + EPSILON)
        folded = weight * factor[:, None, None, None], beta - mean * factor
        yield name, (folded[0].astype(np.float32), folded[1].astype(np.float32))


def _with_preprocessing(weight: Array, scale: tuple[float, ...]) -> list[Array]:
    """Fold reversed channels and the scale of the inputs into a weight; all possible results."""
    channels = weight.shape[1]
    order = np.concatenate([np.arange(3)[::-1] + 3 * frame for frame in range(channels // 3)])
    forms = []
    for divisors in (
        np.asarray(scale, np.float64),
        1 / np.float32(1 / np.asarray(scale)).astype(float),
    ):
        factors = np.tile(np.broadcast_to(1 / divisors, 3), channels // 3).reshape(1, -1, 1, 1)
        forms += [(weight.astype(np.float64) * factors)[:, order], weight[:, order]]
    return forms


def _enlarged_phase(weight: Array, phase: int) -> Doubles:
    """3x3 convolution of a picture enlarged twice, as one of the small picture, even or odd rows.

    Row R of the enlarged picture is 0.75 of small row R // 2 and 0.25 of its neighbour.
    """

    def share(large: int, small: int) -> float:
        near = large // 2
        other = near + (1 if large % 2 else -1)
        return 0.75 if small == near else 0.25 if small == other else 0.0

    def matrix(at: int) -> Doubles:
        # Result 2i + at reads enlarged rows 2i + at - 3 + tap; the small rows are i - 2 + place.
        rows = [[share(4 + at - 3 + tap, place) for place in range(3)] for tap in range(3)]
        return np.array(rows)

    exact = weight.astype(np.float64)
    columns = [
        np.einsum("oitu,tr,uc->oirc", exact, matrix(phase), matrix(column)) for column in range(2)
    ]
    return np.concatenate(columns)


def _taps(weight: Array, axis: int) -> Array:
    """Split a convolution into one per tap along `axis`, stacked in the output channels."""
    return np.concatenate([np.take(weight, [tap], axis) for tap in range(3)])


def _at_half_size(weight: Array) -> Doubles:
    """conv3 on nearest-neighbour upsampled input: four phases (y, x) of 2x2 taps each."""
    outputs, inputs = weight.shape[:2]
    made = np.zeros((outputs, 2, 2, inputs, 2, 2))
    for (y, x), (down, across) in product(product(range(2), repeat=2), product(range(3), repeat=2)):
        made[:, y, x, :, (y + down) // 2, (x + across) // 2] += weight[:, :, down, across]
    return made.reshape(4 * outputs, inputs, 2, 2)


def _at_full_size(weight: Array) -> Doubles:
    """conv3 on full-size input at stride 2: four phases within 4x4 taps."""
    outputs, inputs = weight.shape[:2]
    made = np.zeros((outputs, 2, 2, inputs, 4, 4))
    for y, x in product(range(2), repeat=2):
        made[:, y, x, :, y : y + 3, x : x + 3] = weight
    return made.reshape(4 * outputs, inputs, 4, 4)


def _in_phases(weight: Array) -> Doubles:
    """conv4 on phases: channels are (feature, y, x), of inputs and of outputs."""
    outputs, inputs = weight.shape[:2]
    made = np.zeros((outputs, 2, 2, inputs, 2, 2, 2, 2))
    for (y, x), (down, across) in product(product(range(2), repeat=2), product(range(3), repeat=2)):
        i, j = y + down, x + across
        made[:, y, x, :, i % 2, j % 2, i // 2, j // 2] = weight[:, :, down, across]
    return made.reshape(4 * outputs, 4 * inputs, 2, 2)


def _shrinking(shape: tuple[int, ...]) -> Doubles:
    """Mean of the middle 2x2 pixels of each block: O x (factor O) x factor x 1."""
    made = np.zeros(shape)
    outputs, factor = shape[0], shape[2]
    middle = (factor // 2 - 1, factor // 2)
    for pixel, y, x in product(range(outputs), middle, middle):
        if factor * pixel + x < shape[1]:
            made[pixel, factor * pixel + x, y] = 0.25
    return made


def _enlarging(shape: tuple[int, ...]) -> Doubles:
    """Bilinear enlargement of a block with one neighbour on each side: (n + 2) x (factor n)."""
    places, results = shape[0], shape[1]
    factor = results // (places - 2)
    made = np.zeros(shape)
    for result in range(results):
        at = (result + 0.5) / factor + 0.5  # half-pixel centres; the block begins at place 1
        low = int(at)
        made[low, result] += 1 - (at - low)
        if at > low:
            made[low + 1, result] += at - low
    return made
