"""Common parts of the omz commands: their parser, the choice of models, and the loop over them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import CompositeModel, Model
from toolchain.cli import exits
from toolchain.definitions.variants import KNOWN
from toolchain.errors import ToolchainError
from toolchain.omz.collection import (
    ROOT_VARIABLE,
    Entry,
    UnreadableModel,
    read_collection,
    read_patterns,
    select_models,
)

if TYPE_CHECKING:
    import threading

    from toolchain.pipeline.job import Outcome

NEW_OPTIONS = ("config", "models_root", "accept")  # that Open Model Zoo does not have
Write = Callable[[str], None]


class Parser(argparse.ArgumentParser):
    """Parser of an omz command, with the options that choose models.

    Args:
        program: Name of the command.
        description: What the command does.
        verb: What it does with the models, for the help of the options that choose them.
        examples: Command lines to show in the help.
    """

    def __init__(self, program: str, description: str, verb: str, examples: Sequence[str]) -> None:
        super().__init__(
            prog=program,
            description=description,
            epilog="\n".join(["examples:", *(f"  {program} {words}" for words in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        group = self.add_argument_group("models", "exactly one of the first four is required")
        group.add_argument(
            "--name",
            metavar="PAT[,PAT...]",
            help=f"{verb} the models whose names match one of the patterns (*, ?, [...])",
        )
        group.add_argument(
            "--list",
            type=Path,
            metavar="FILE.LST",
            help=f"{verb} the models that match a pattern in the file: one per line, # for "
            "comments",
        )
        group.add_argument("--all", action="store_true", help=f"{verb} all models")
        group.add_argument(
            "--print_all",
            "--print-all",
            action="store_true",
            help="print the names of all models",
        )
        group.add_argument(
            "--config",
            type=Path,
            metavar="PATH",
            help="another model.yml instead of the built-in one",
        )
        group.add_argument(
            "--models_root",
            "--models-root",
            type=Path,
            metavar="DIR",
            help="a folder of models with the layout of Open Model Zoo (environment variable "
            f"{ROOT_VARIABLE})",
        )

    def add_argument(self, *flags: str, **settings: Any) -> argparse.Action:
        """Add an argument.  A flag with underscores is accepted with dashes too."""
        dashed = [flag.replace("_", "-") for flag in flags if flag.startswith("--")]
        return super().add_argument(*dict.fromkeys((*flags, *dashed)), **settings)

    def add_folder(self, *flags: str, help: str, default: Path | None = None) -> None:  # noqa: A002
        """Add an option that takes a folder."""
        self.add_argument(*flags, type=Path, metavar="DIR", default=default, help=help)

    def add_dry_run(self) -> None:
        """Add `--dry_run`."""
        self.add_argument(
            "--dry_run", action="store_true", help="print what would be done, change nothing"
        )

    def add_unused(self, *flags: str) -> None:
        """Add an option of Open Model Zoo that has no effect here."""
        self.add_argument(*flags, metavar="PATH", help="accepted, not used")

    def expand(self, words: Sequence[str]) -> list[str]:
        """Replace shortened flags by the full ones, as far as Open Model Zoo accepted them.

        `--a` means `--all` there, so a new flag such as `--accept` must not make it ambiguous.
        """
        expanded: list[str] = []
        for index, word in enumerate(words):
            if word == "--":
                return [*expanded, *words[index:]]
            key, equals, value = word.partition("=")
            matches = {
                action.dest: flag
                for flag, action in reversed(self._option_string_actions.items())
                if key.startswith("--") and flag.startswith(key) and action.dest not in NEW_OPTIONS
            }
            if len(matches) == 1:
                word = f"{next(iter(matches.values()))}{equals}{value}"  # noqa: PLW2901
            expanded.append(word)
        return expanded


def run_command(
    create_parser: Callable[[], Parser],
    argv: Sequence[str] | None,
    work: Callable[[tuple[Entry, ...], argparse.Namespace], int],
) -> int:
    """Parse the command line and call `work` with the chosen models and all options.

    Args:
        create_parser: Creates the parser of the command.
        argv: Command line without the program; None for that of the process.
        work: Does the work of the command; returns the exit code.

    Returns:
        The exit code: 0 for success, 1 for a failure, 2 for invalid arguments.
    """

    def run() -> int:
        parser = create_parser()
        options = parser.parse_args(parser.expand(sys.argv[1:] if argv is None else argv))
        return work(choose_models(options, parser), options)

    return exits.run(run)


def choose_models(
    options: argparse.Namespace, parser: argparse.ArgumentParser
) -> tuple[Entry, ...]:
    """Read the models that the options ask for.

    Raises:
        SystemExit: With 2 unless there is exactly one choice; with 0 after `--print_all` printed
            the names.
        CatalogError: A model.yml or the file of `--list` is invalid.
        ToolchainError: A pattern matches no model.
    """
    choices = sum((options.all, options.name is not None, options.list is not None))
    if choices > 1 and not options.print_all:
        parser.error('at most one of "--all", "--name" or "--list" can be specified')
    if not (choices or options.print_all):
        parser.error('one of "--print_all", "--all", "--name" or "--list" must be specified')
    if options.config is not None and options.models_root is not None:
        parser.error('at most one of "--config" and "--models_root" can be specified')
    patterns = None if options.name is None else options.name.split(",")
    if options.list is not None and not options.print_all:
        patterns = read_patterns(options.list)
    models = _read_models(options)
    if options.print_all:
        for model in models:
            if isinstance(model, UnreadableModel):
                sys.stderr.write(f"{model.error.message}\n")
            else:
                sys.stdout.write(f"{model.name}\n")
        parser.exit()
    return models if patterns is None else select_models(models, patterns)


def _read_models(options: argparse.Namespace) -> tuple[Entry, ...]:
    if options.config is not None:
        return (read_model(options.config, lenient=True),)
    root = options.models_root or os.environ.get(ROOT_VARIABLE)
    return read_collection(Path(root)) if root else (read_model(builtin_config()),)


def parse_precisions(text: str | None, known: Sequence[str] = KNOWN) -> tuple[str, ...]:
    """Parse the value of `--precisions`.

    Args:
        text: Names separated by commas; None for all.
        known: Names that are valid.

    Returns:
        The names, in the order of `known`.

    Raises:
        ToolchainError: A name is not known.  The exit code is 1, as in Open Model Zoo.
    """
    asked = set(known) if text is None else set(text.split(","))
    if unknown := sorted(asked - set(known)):
        raise ToolchainError(
            f"Unknown precisions specified: {', '.join(unknown)}.",
            hint=f"Known: {', '.join(known)}.",
        )
    return tuple(precision for precision in known if precision in asked)


def line_writer(stream: TextIO) -> Write:
    """Create a function that writes whole lines to `stream` from any thread.

    It keeps `stream` where sys.stdout is replaced for a while, to silence a library.
    """

    def write(text: str) -> None:
        stream.write(f"{text}\n")
        stream.flush()

    return write


def format_outcome(outcome: Outcome) -> str:
    """Format the line about a file that was made, or that was up to date."""
    state = f"{outcome.seconds:.1f} s" if outcome.ran else "up to date"
    return f"[ {state} ] {outcome.files[0]}"


def format_planned(runs: bool, target: Path) -> str:
    """Format what a dry run prints about a file."""
    return f"{'would write' if runs else 'up to date'} {target}"


def run_on_models(
    models: Sequence[Entry],
    work: Callable[[Model], object],
    *,
    write: Write,
    note: Write,
    jobs: int = 1,
    stop: threading.Event | None = None,
) -> int:
    """Call `work` for each model, and for each stage of a composite model.

    A model has failed if `work` raises a ToolchainError; the others are done all the same.  An
    error about invalid arguments ends the command.

    Args:
        models: The models.
        work: What to do with one of them.
        write: Receives the final list of the models that failed.
        note: Receives the message of each error.
        jobs: Number of models at the same time.
        stop: Set when the work of other threads is to end, because of an error or Ctrl-C.

    Returns:
        The exit code: 1 if a model failed.
    """

    def succeeds(model: Model) -> bool:
        try:
            work(model)
        except ToolchainError as error:
            if error.exit_code != exits.FAILED:
                raise
            note("\n".join(error.lines()))
            return False
        return True

    def all_succeed(entry: Entry) -> bool:
        if isinstance(entry, UnreadableModel):
            note("\n".join(entry.error.lines()))
            return False
        stages = entry.stages if isinstance(entry, CompositeModel) else (entry,)
        return all(list(map(succeeds, stages)))  # a list: each stage is done

    if jobs == 1 or not models:
        done = [all_succeed(entry) for entry in models]
    else:
        from concurrent.futures import (
            ThreadPoolExecutor,
        )  # loads logging, which --all does not need

        with ThreadPoolExecutor(jobs, "model") as pool:
            running = [pool.submit(all_succeed, entry) for entry in models]
            try:
                done = [future.result() for future in running]
            finally:
                if stop is not None:
                    stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
    failed = [entry.name for entry, good in zip(models, done, strict=True) if not good]
    if failed:
        write("\n".join(["FAILED:", *failed]))
    return exits.FAILED if failed else 0
