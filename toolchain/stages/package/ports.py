"""The inputs and outputs that a model file has, read from the file itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolchain.definitions.ports import INPUT_PORTS, OUTPUT_PORTS, RT_INFO, Port
from toolchain.errors import PackageError

MEANINGS = {port.name: port for port in (*INPUT_PORTS, *OUTPUT_PORTS)}
NCHW = "NCHW"


def ports_of(path: Path) -> list[dict[str, Any]]:
    """Name, direction, type, shape, layout, colour order and range of each port, inputs first.

    Shapes, types and an IR's own facts are read from `path` (.onnx or .xml).  Raises PackageError
    if it has other ports than those of the network.
    """
    found = _onnx(path) if path.suffix == ".onnx" else _ir(path)
    names = [row["name"] for row in found]
    if names != list(MEANINGS):
        raise PackageError(
            f"{path}: has the ports {', '.join(names)}, expected {', '.join(MEANINGS)}",
            kept="Nothing was packaged.",
            hint="Build it again with this toolchain.",
        )
    return found


def _onnx(path: Path) -> list[dict[str, Any]]:
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    rows = []
    for direction, ports in (("input", graph.input), ("output", graph.output)):
        for port in ports:
            tensor = port.type.tensor_type
            kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            shape = [dimension.dim_value for dimension in tensor.shape.dim]
            rows.append(_row(MEANINGS.get(port.name), port.name, direction, _short(kind), shape))
    return rows


def _ir(path: Path) -> list[dict[str, Any]]:
    from toolchain.runtimes.openvino_api import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})
    model = core.read_model(path)

    def told(key: str) -> str:
        section = [RT_INFO, key]
        return str(model.get_rt_info(section).astype(str)) if model.has_rt_info(section) else ""

    rows = []
    for direction, ports in (("input", model.inputs), ("output", model.outputs)):
        for port in ports:
            name, kind = port.get_any_name(), port.get_element_type().get_type_name()
            row = _row(MEANINGS.get(name), name, direction, kind, list(port.shape))
            if direction == "input":
                row["layout"] = told("input_layout") or NCHW
                row["colours"] = told("input_colour_order") or row["colours"]
                row["range"] = told("input_range") or row["range"]
            elif name == "fgr":
                row["colours"] = told("output_fgr_colour_order") or row["colours"]
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


def _short(kind: Any) -> str:
    return {"float32": "f32", "float16": "f16", "uint8": "u8"}.get(str(kind), str(kind))
