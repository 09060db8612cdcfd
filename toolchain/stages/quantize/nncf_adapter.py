"""NNCF's post-training quantization, without output and telemetry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from toolchain.definitions.arrays import Pixels
from toolchain.errors import QuantizationError
from toolchain.runtimes.openvino_runtime import prepare_inputs
from toolchain.stages.quantize.layers import CONVOLUTIONS, list_convolution_nodes, list_node_types
from toolchain.stages.quantize.request import Device
from toolchain.workspace.third_party import suppress_output, without_telemetry

FramePair = tuple[Pixels, Pixels]


def quantize_convolutions(
    model: Any,
    frames: Sequence[FramePair],
    chosen: set[str],
    device: Device,
    reach: Callable[[float], None],
) -> Any:
    """Quantize convolutions to 8-bit integers.

    Args:
        model: The OpenVINO model.
        frames: Pairs of src and bgr, H x W x 3, uint8, RGB, of the model's size.
        chosen: Nodes of the convolutions to quantize.
        device: Target device, by NNCF's names.
        reach: Called with the number of frames fed so far; NNCF feeds every frame more than once.

    Returns:
        The quantized model.

    Raises:
        QuantizationError: NNCF fails.
    """
    ports, count = model.inputs, 0

    def feed(pair: FramePair) -> dict[str, Any]:
        nonlocal count
        count += 1
        reach(count)
        return prepare_inputs(ports, *pair)

    try:
        with suppress_output():
            with without_telemetry():
                import nncf

            return nncf.quantize(
                model,
                nncf.Dataset(frames, feed),
                preset=nncf.QuantizationPreset.PERFORMANCE,
                target_device=nncf.TargetDevice[device],
                subset_size=len(frames),
                fast_bias_correction=True,
                ignored_scope=nncf.IgnoredScope(
                    names=sorted(list_convolution_nodes(model) - chosen),
                    types=sorted(list_node_types(model) - set(CONVOLUTIONS)),
                    validate=False,
                ),
            )
    except Exception as error:  # NNCF raises its own errors, OpenVINO's, and Python's
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise QuantizationError(
            f"NNCF cannot quantize the model: {lines[0]}",
            kept="No IR was written.",
            hint="See `matting info` for the versions in use.",
        ) from error
