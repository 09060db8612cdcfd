"""Run a tool of Open Model Zoo in its own environment: `launcher.py MODELS TOOL ARGUMENT ...`.

MODELS is a collection to use instead of its own, or "-".  TOOL is a tool's name; or "flags", which
prints the flags of the tools that follow; or "collection", which prints the folder of its own
collection.  This file imports nothing but Open Model Zoo.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path


def main(models: str, tool: str, *arguments: str) -> None:
    """See the description of the module."""
    from omz_tools import _common  # exists only in that environment

    if models != "-":
        _common.MODEL_ROOT = Path(models)
    if tool == "collection":
        print(_common.MODEL_ROOT)
    elif tool == "flags":
        print(json.dumps({name: read_flags(name) for name in arguments}))
    else:
        sys.argv = [tool, *arguments]
        import_module(f"omz_tools.{tool}").main()


class _Parsed(Exception):  # noqa: N818 - carries the parser out of the tool
    pass


def read_flags(tool: str) -> dict[str, dict[str, object]]:
    """Read the flags of a tool from its parser; see `describe_flags`."""

    def catch(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise _Parsed(parser)

    original = argparse.ArgumentParser.parse_args
    argparse.ArgumentParser.parse_args = catch
    sys.argv = [tool]
    try:
        import_module(f"omz_tools.{tool}").main()
    except _Parsed as parsed:
        return describe_flags(parsed.args[0])
    finally:
        argparse.ArgumentParser.parse_args = original
    raise RuntimeError(f"{tool} parses no arguments")


def describe_flags(parser: argparse.ArgumentParser) -> dict[str, dict[str, object]]:
    """Describe each flag: whether it takes a value, its choices, and its default as text."""
    current_folder = (Path(), Path.cwd())
    return {
        flag: {
            "value": action.nargs is None,
            "choices": sorted(action.choices) if action.choices else None,
            "default": "." if action.default in current_folder else str(action.default or None),
        }
        for action in parser._actions  # noqa: SLF001 - argparse has no public list
        for flag in action.option_strings
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
