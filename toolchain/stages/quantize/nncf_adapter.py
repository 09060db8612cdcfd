"""NNCF's post-training quantisation, kept quiet.

That it reports to nobody and leaves nothing in the home folder is seen to in `toolchain` itself.
"""

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
    """`model` with the convolutions named in `chosen`, and nothing else, in 8-bit integers.

    `frames`: src and bgr, H x W x 3 uint8 RGB, of the model's size.  `reach`: told how many
    frames were fed, all of them more than once.  Raises QuantizationError if NNCF fails.
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
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise QuantizationError(
            f"NNCF can't quantise the model: {told[0]}",
            kept="Nothing was written.",
            hint="See `matting info` for the versions in use.",
        ) from error
