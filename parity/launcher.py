"""Run one of the incumbent's tools in its own environment: `launcher.py MODELS TOOL ARGUMENT ...`.

MODELS: a collection instead of its own; "-" leaves that.  TOOL "flags" prints the flags of the
tools that follow, "collection" where its own collection lies.  Needs nothing but the incumbent.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path


def main(models: str, tool: str, *arguments: str) -> None:
    """Do what the module's first lines say."""
    from omz_tools import _common  # the incumbent

    if models != "-":
        _common.MODEL_ROOT = Path(models)
    if tool == "collection":
        print(_common.MODEL_ROOT)
    elif tool == "flags":
        print(json.dumps({name: flags_of(name) for name in arguments}))
    else:
        sys.argv = [tool, *arguments]
        import_module(f"omz_tools.{tool}").main()


class _Caught(Exception):  # noqa: N818 - carries the parser out of the tool
    pass


def flags_of(tool: str) -> dict[str, dict[str, object]]:
    """Flag by flag what the tool's parser says of it."""

    def catch(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise _Caught(parser)

    original = argparse.ArgumentParser.parse_args
    argparse.ArgumentParser.parse_args = catch
    sys.argv = [tool]
    try:
        import_module(f"omz_tools.{tool}").main()
    except _Caught as caught:
        return described(caught.args[0])
    finally:
        argparse.ArgumentParser.parse_args = original
    raise RuntimeError(f"{tool} parses no arguments")


def described(parser: argparse.ArgumentParser) -> dict[str, dict[str, object]]:
    """By flag: whether it takes a value, its choices, and its default in words."""
    here = (Path(), Path.cwd())
    return {
        flag: {
            "value": action.nargs is None,
            "choices": sorted(action.choices) if action.choices else None,
            "default": "." if action.default in here else str(action.default or None),
        }
        for action in parser._actions  # noqa: SLF001 - argparse has no other way to ask
        for flag in action.option_strings
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
