"""Read inputs and outputs from a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from toolchain.definitions.ports import FOREGROUND, INPUT_PORTS, OUTPUT_PORTS, RT_INFO, Port
from toolchain.errors import PackageError
from toolchain.runtimes.openvino_api import openvino

PORTS = {port.name: port for port in (*INPUT_PORTS, *OUTPUT_PORTS)}
NCHW = "NCHW"
PortRows = list[dict[str, Any]]
PortsByModel = dict[str, PortRows]  # by the path of the model below the folder of the build


def read_ports(path: Path) -> PortRows:
    """Read the inputs and outputs of a model.

    Args:
        path: An ONNX model (.onnx) or an IR (.xml).

    Returns:
        Name, direction, type, shape, layout, colour order, range and meaning of each, inputs first.

    Raises:
        PackageError: The model has other inputs or outputs than the network.
    """
    found = _read_onnx(path) if path.suffix == ".onnx" else _read_ir(path)
    names = [row["name"] for row in found]
    if names != list(PORTS):
        raise PackageError(
            f"{path}: inputs and outputs are {', '.join(names)}, expected {', '.join(PORTS)}",
            kept="Nothing was packaged.",
            hint="Build it again with this toolchain.",
        )
    return found


def _read_onnx(path: Path) -> PortRows:
    graph = onnx.load(path, load_external_data=False).graph
    rows = []
    for direction, ports in (("input", graph.input), ("output", graph.output)):
        for port in ports:
            tensor = port.type.tensor_type
            kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            shape = [dimension.dim_value for dimension in tensor.shape.dim]
            rows.append(_row(PORTS.get(port.name), port.name, direction, _short_type(kind), shape))
    return rows


def _read_ir(path: Path) -> PortRows:
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})
    model = core.read_model(path)

    def rt_info(key: str) -> str:
        section = [RT_INFO, key]
        return str(model.get_rt_info(section).astype(str)) if model.has_rt_info(section) else ""

    rows = []
    for direction, ports in (("input", model.inputs), ("output", model.outputs)):
        for port in ports:
            name, kind = port.get_any_name(), port.get_element_type().get_type_name()
            row = _row(PORTS.get(name), name, direction, kind, list(port.shape))
            if direction == "input":
                row["layout"] = rt_info("input_layout") or NCHW
                row["colours"] = rt_info("input_colour_order") or row["colours"]
                row["range"] = rt_info("input_range") or row["range"]
            elif name == FOREGROUND:
                row["colours"] = rt_info("output_fgr_colour_order") or row["colours"]
            rows.append(row)
    return rows


def _row(
    known: Port | None, name: str, direction: str, kind: str, shape: list[int]
) -> dict[str, Any]:
    return {
        "name": name,
        "direction": direction,
        "type": kind,
        "shape": shape,
        "layout": NCHW,
        "colours": known.colours if known else "",
        "range": known.range if known else "",
        "meaning": known.meaning if known else "",
    }


def _short_type(kind: Any) -> str:
    return {"float32": "f32", "float16": "f16", "uint8": "u8"}.get(str(kind), str(kind))
