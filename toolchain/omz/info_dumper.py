"""The command `omz_info_dumper`: the models' descriptions as a JSON array on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from toolchain.catalog.records import CatalogEntry, CompositeModel
from toolchain.cli import exits
from toolchain.omz.collection import Entry, UnreadableModel
from toolchain.omz.command import Parser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `run_command`."""
    return run_command(create_parser, argv, _run)


def create_parser() -> Parser:
    """Create the parser of the command."""
    return Parser(
        "omz_info_dumper",
        "Print the descriptions of the models as a JSON array.",
        "dump info for",
        ("--all", "--name 'background-matting-*'"),
    )


def _run(models: Sequence[Entry], _: argparse.Namespace) -> int:
    readable = [model for model in models if not isinstance(model, UnreadableModel)]
    text = json.dumps([describe_model(model) for model in readable], indent=4)
    sys.stdout.write(f"{text}\n")
    for model in models:
        if isinstance(model, UnreadableModel):
            sys.stderr.write(f"{model.error.message}\n")
    return exits.FAILED if len(readable) < len(models) else 0


def describe_model(model: CatalogEntry) -> dict[str, object]:
    """Build one element of the array: the keys of Open Model Zoo, in its order."""
    accuracy_config = model.config_path.with_name("accuracy-check.yml")
    if isinstance(model, CompositeModel):
        composite_model_name: str | None = model.name
        model_config = None  # only a model.yml counts
        inputs: list[dict[str, object]] = []
        stages = [describe_model(stage) for stage in model.stages]
    else:
        composite_model_name = model.composite_model_name
        model_config = str(model.config_path)
        inputs = [
            {"name": item.name, "shape": list(item.shape), "layout": item.layout}
            for item in model.input_info
        ]
        stages = []
    return {
        "name": model.name,
        "composite_model_name": composite_model_name,
        "description": model.description,
        "framework": model.framework,
        "license_url": model.license_url,
        "accuracy_config": str(accuracy_config) if accuracy_config.exists() else None,
        "model_config": model_config,
        "precisions": sorted(model.precisions),
        "subdirectory": str(Path(model.subdirectory)),
        "task_type": model.task_type,
        "input_info": inputs,
        "model_stages": stages,
    }


if __name__ == "__main__":
    sys.exit(main())
