"""The command `info`: facts of the model, or what a checkpoint holds."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolchain import __version__
from toolchain.cli.console import print_json
from toolchain.cli.options import (
    Commands,
    add_command,
    add_config,
    add_network,
    add_weights_key,
    read_config,
    read_settings,
)
from toolchain.definitions.ports import INPUT_PORTS, INPUTS, OUTPUT_PORTS, Port


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "info",
        "show facts of the model (inputs, parameters, FLOPs), or what a checkpoint holds",
        example="matting info",
        run=_run,
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON to stdout")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="show what this checkpoint holds instead"
    )
    add_weights_key(parser)
    add_config(parser)
    add_network(parser)


def _run(options: argparse.Namespace) -> int:
    if options.weights is not None:
        return _show_checkpoint(options)
    facts = _collect_facts(options)
    if options.json:
        print_json(facts)
        return 0
    for key, value in facts.items():
        shown = value
        if isinstance(value, list):
            shown = "; ".join(map(str, value))
        elif isinstance(value, dict):
            shown = ", ".join(f"{name} {item}" for name, item in value.items())
        print(f"{key}: {shown}")
    return 0


def _show_checkpoint(options: argparse.Namespace) -> int:
    """Print what a file holds; the exit code is 1 if its weights cannot be used."""
    from toolchain.checkpoints.load import describe  # loads PyTorch

    found = describe(options.weights, options.weights_key)
    if options.json:
        print_json(asdict(found))
    else:
        print("\n".join(found.lines()))
    return 0 if found.usable else 1


def _collect_facts(options: argparse.Namespace) -> dict[str, Any]:
    from toolchain.catalog.arguments import export_settings
    from toolchain.network.profile import profile  # imports torch
    from toolchain.workspace.environment import version

    model = read_config(options)
    settings = read_settings(options, model) or export_settings(model)
    counted = profile(
        settings.width,
        settings.height,
        settings.backbone_scale,
        settings.mode,
        settings.sample_pixels,
    )
    size = f"{settings.height} x {settings.width}"
    return {
        "model": model.name,
        "description": model.description,
        "license": model.license_url,
        "config": str(model.config_path),
        "checkpoint": model.files[0].name if model.files else None,
        "sources": [str(source) for file in model.files[:1] for source in file.sources],
        "original inputs": [_format_port(port, size) for port in INPUT_PORTS],
        "converted inputs": [f"{name}: f32 1 x 3 x {size}, BGR 0..255" for name in INPUTS],
        "outputs": [_format_port(port, size) for port in OUTPUT_PORTS],
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


def _format_port(port: Port, size: str) -> str:
    colours = f"{port.colours} " if port.colours else ""
    return f"{port.name}: f32 1 x {port.channels} x {size}, {colours}{port.range}"
