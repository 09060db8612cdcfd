"""`omz_info_dumper`: what is known of the models, as a JSON array on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from toolchain.catalog.records import CatalogEntry, CompositeModel
from toolchain.cli.exits import run
from toolchain.omz.command import SELECTION, add_selection, selected, written_out

FLAGS = SELECTION
EXAMPLES = """\
examples:
  omz_info_dumper --all
  omz_info_dumper --name 'background-matting-*'
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 2 bad arguments."""
    return run(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    models = selected(parser.parse_args(written_out(argv, FLAGS)), parser)
    sys.stdout.write(json.dumps([info(model) for model in models], indent=4) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="omz_info_dumper",
        description="Print what is known of the models as a JSON array.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_selection(parser, "dump info for")
    return parser


def info(model: CatalogEntry) -> dict[str, object]:
    """One element of the array: the incumbent's keys, in its order."""
    inputs: list[dict[str, object]] = []
    stages: list[dict[str, object]] = []
    if isinstance(model, CompositeModel):
        composite_model_name: str | None = model.name
        stages += [info(stage) for stage in model.stages]
    else:
        composite_model_name = model.composite_model_name
        inputs += [
            {"name": item.name, "shape": list(item.shape), "layout": item.layout}
            for item in model.input_info
        ]
    return {
        "name": model.name,
        "composite_model_name": composite_model_name,
        "description": model.description,
        "framework": model.framework,
        "license_url": model.license_url,
        "accuracy_config": _if_there(model.config_path.with_name("accuracy-check.yml")),
        "model_config": _model_config(model),
        "precisions": sorted(model.precisions),
        "subdirectory": str(Path(model.subdirectory)),
        "task_type": model.task_type,
        "input_info": inputs,
        "model_stages": stages,
    }


def _model_config(model: CatalogEntry) -> str | None:
    # With the incumbent only a model.yml counts; a composite-model.yml is none.
    return None if isinstance(model, CompositeModel) else str(model.config_path)


def _if_there(path: Path) -> str | None:
    return str(path) if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
