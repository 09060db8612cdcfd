"""`matting info`: facts of the model, counted and read, not quoted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolchain.definitions.ports import Port


def show(config: Path | None, *, as_json: bool) -> int:
    """Print the facts to stdout; returns the exit code."""
    facts = _facts(config)
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    for key, value in facts.items():
        shown = value
        if isinstance(value, list):
            shown = "; ".join(map(str, value))
        elif isinstance(value, dict):
            shown = ", ".join(f"{name} {item}" for name, item in value.items())
        print(f"{key}: {shown}")
    return 0


def _facts(config: Path | None) -> dict[str, Any]:
    from toolchain import __version__
    from toolchain.catalog.arguments import export_settings
    from toolchain.catalog.builtin import builtin_config
    from toolchain.catalog.reader import read_model
    from toolchain.definitions.ports import INPUT_PORTS, OUTPUT_PORTS
    from toolchain.network.profile import profile
    from toolchain.workspace.environment import version

    model = read_model(config or builtin_config())
    settings = export_settings(model)
    counted = profile(
        settings.width, settings.height, settings.backbone_scale, settings.sample_pixels
    )
    size = f"{settings.height} x {settings.width}"
    return {
        "model": model.name,
        "description": model.description,
        "license": model.license_url,
        "config": str(model.config_path),
        "checkpoint": model.files[0].name if model.files else None,
        "sources": [str(source) for file in model.files[:1] for source in file.sources],
        "original inputs": [_told(port, size) for port in INPUT_PORTS],
        "converted inputs": [f"{name}: f32 1 x 3 x {size}, BGR 0..255" for name in ("src", "bgr")],
        "outputs": [_told(port, size) for port in OUTPUT_PORTS],
        "state dict entries": counted.entries,
        "parameters": counted.parameters,
        "GFLOPs": {
            "backbone": round(counted.backbone_flops / 1e9, 3),
            "aspp": round(counted.aspp_flops / 1e9, 3),
            "decoder": round(counted.decoder_flops / 1e9, 3),
            "refiner": round(counted.refiner_flops / 1e9, 3),
            "total": round(counted.flops / 1e9, 3),
        },
        "GFLOPs counted": counted.counted,
        "versions": {
            "toolchain": __version__,
            **{tool: version(tool) for tool in ("torch", "onnx", "onnxruntime", "openvino")},
        },
    }


def _told(port: Port, size: str) -> str:
    colours = f"{port.colours} " if port.colours else ""
    return f"{port.name}: f32 1 x {port.channels} x {size}, {colours}{port.range}"
