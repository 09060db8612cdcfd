"""The flags that the omz commands share: which models, and from where."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from toolchain.catalog.positions import complaint
from toolchain.catalog.reader import PRECISIONS
from toolchain.catalog.records import CatalogEntry
from toolchain.errors import ToolchainError
from toolchain.omz.collection import load, select

SELECTION = ("--name", "--list", "--all", "--print_all")  # the incumbent's


def written_out(argv: Sequence[str] | None, flags: Sequence[str]) -> list[str]:
    """`argv` (None: the process's) with shortened `flags` of the incumbent written out.

    `--output` meant --output_dir there; flags that are new here must not make it ambiguous.
    """
    done: list[str] = []
    items = iter(sys.argv[1:] if argv is None else argv)
    for item in items:
        if item == "--":
            return [*done, item, *items]
        key, equals, value = item.partition("=")
        meant = [flag for flag in flags if flag.startswith(key)] if key.startswith("--") else []
        done.append(f"{meant[0]}{equals}{value}" if len(meant) == 1 else item)
    return done


def add_selection(parser: argparse.ArgumentParser, verb: str = "use") -> None:
    """Add --name, --list, --all, --print_all, --config and --models_root to `parser`."""
    group = parser.add_argument_group("models", "exactly one of the first four is required")
    group.add_argument(
        "--name",
        metavar="PAT[,PAT...]",
        help=f"{verb} the models whose names match one of the patterns (*, ?, [...])",
    )
    group.add_argument(
        "--list",
        type=Path,
        metavar="FILE.LST",
        help=f"{verb} the models that match a pattern in the file, one a line, # for comments",
    )
    group.add_argument("--all", action="store_true", help=f"{verb} all models")
    group.add_argument(
        "--print_all", "--print-all", action="store_true", help="print the names of all models"
    )
    group.add_argument(
        "--config", type=Path, metavar="PATH", help="another model.yml instead of the built-in one"
    )
    group.add_argument(
        "--models_root",
        "--models-root",
        type=Path,
        metavar="DIR",
        help="a folder of models, laid out as Open Model Zoo's",
    )


def selected(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    models: Sequence[CatalogEntry] | None = None,
) -> tuple[CatalogEntry, ...]:
    """The models that the parsed `args` ask for, out of `models` or what --config and so on name.

    Ends the program as argparse does (exit 2) unless exactly one choice was made; after
    --print_all has printed the names it ends with exit 0.  Raises CatalogError for a mistake in
    a model.yml or an unreadable --list file, ToolchainError if a pattern matches nothing.
    """
    chosen = sum((args.all, args.name is not None, args.list is not None))
    if chosen > 1 and not args.print_all:
        parser.error('at most one of "--all", "--name" or "--list" can be specified')
    if not (chosen or args.print_all):
        parser.error('one of "--print_all", "--all", "--name" or "--list" must be specified')
    if args.config is not None and args.models_root is not None:
        parser.error('at most one of "--config" and "--models_root" can be specified')
    listed = args.list is not None and not args.print_all  # which comes before any choice
    patterns = read_list(args.list) if listed else None
    known = load(args.config, args.models_root) if models is None else tuple(models)
    if args.print_all:
        sys.stdout.writelines(f"{model.name}\n" for model in known)
        parser.exit()
    if args.name is not None:
        patterns = args.name.split(",")
    return known if patterns is None else select(known, patterns)


def known_precisions(text: str | None) -> frozenset[str]:
    """The precisions that --precisions names, all known ones for None.

    Raises ToolchainError (exit 1, as with the incumbent) for one that is not known.
    """
    if text is None:
        return frozenset(PRECISIONS)
    asked = frozenset(text.split(","))
    if unknown := sorted(asked - set(PRECISIONS)):
        raise ToolchainError(
            f"Unknown precisions specified: {', '.join(unknown)}.",
            hint=f"Known: {', '.join(PRECISIONS)}.",
        )
    return asked


def read_list(path: Path) -> list[str]:
    """The patterns in a --list file: the first word of each line, shell quoting, # comments.

    Raises CatalogError, one line, for a file that can't be read or a quote that does not end.
    """
    import shlex

    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise complaint(path, 1, 1, "not UTF-8", "patterns in UTF-8, one a line") from None
    except (OSError, ValueError) as error:
        said = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise complaint(path, 1, 1, f"can't be read: {said}", "a file of patterns") from None
    patterns = []
    for number, line in enumerate(lines, start=1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise complaint(path, number, 1, str(error), "matched quotes") from None
        patterns += words[:1]
    return patterns
