"""NNCF's post-training quantisation, kept quiet.

That it reports to nobody and leaves nothing in the home folder is seen to in `toolchain` itself.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from toolchain.errors import QuantizationError
from toolchain.stages.quantize.layers import CONVOLUTIONS, all_convolutions, kinds
from toolchain.stages.quantize.request import Device
from toolchain.workspace.third_party import suppress_output, without_telemetry

if TYPE_CHECKING:
    from toolchain.definitions.arrays import Pixels

    Pair = tuple[Pixels, Pixels]


def require_nncf() -> None:
    """Raise QuantizationError, which says how to get it, unless NNCF is installed."""
    if importlib.util.find_spec("nncf") is None:
        raise QuantizationError(
            "quantisation needs NNCF, which is not installed",
            kept="Nothing was changed.",
            hint="Install the extra `quantize`: pip install '.[quantize]'.",
        )


def quantized(
    model: Any,
    frames: Sequence[Pair],
    chosen: set[str],
    device: Device,
    reach: Callable[[float], None],
) -> Any:
    """`model` with the convolutions named in `chosen`, and nothing else, in 8-bit integers.

    `frames`: src and bgr, H x W x 3 uint8 RGB, of the model's size.  `reach`: told how many
    frames were fed, all of them more than once.  Raises QuantizationError if NNCF fails.
    """
    from toolchain.runtimes.openvino_runtime import fed

    ports, count = model.inputs, 0

    def feed(pair: Pair) -> dict[str, Any]:
        nonlocal count
        count += 1
        reach(count)
        return fed(ports, *pair)

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
                    names=sorted(all_convolutions(model) - chosen),
                    types=sorted(kinds(model) - set(CONVOLUTIONS)),
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
