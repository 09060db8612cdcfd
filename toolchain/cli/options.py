"""Options that several `matting` commands share, and how they are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from toolchain.cli.values import parse_positive, parse_size
from toolchain.definitions.refinement import REFINE_MODE_KEYS
from toolchain.definitions.variants import BUILT, DEFAULT_DEVICE, HINTS, PREFERRED
from toolchain.errors import UsageError

if TYPE_CHECKING:
    from toolchain.catalog.arguments import ExportSettings
    from toolchain.catalog.records import Model
    from toolchain.pipeline.request import BuildRequest
    from toolchain.pipeline.weights import Weights

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - no public name


def add_command(
    commands: Commands,
    name: str,
    text: str,
    *,
    example: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: The commands of `matting`.
        name: Name of the command.
        text: What the command does, for the help; without capital and period.
        example: A command line for the help.
        run: Runs the command and returns the exit code.

    Returns:
        The parser of the command, which has no options yet.
    """
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:\n  {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options for what a command prints."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON to stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="print no progress to stderr")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a model.yml; see `read_config`."""
    parser.add_argument(
        "--config", type=Path, metavar="PATH", help="model.yml to use instead of the built-in one"
    )


def read_config(options: argparse.Namespace) -> Model:
    """Read the model.yml that `add_config` names.

    Raises:
        CatalogError: The file is invalid.
        UsageError: The model is not a PyTorch model.
    """
    from toolchain.catalog import builtin, reader  # YAML

    model = reader.read_model(options.config or builtin.builtin_config())
    if model.framework != "pytorch":
        raise UsageError(
            f"{model.config_path}: its framework is {model.framework}; matting needs a PyTorch "
            "checkpoint",
            hint="Use omz_downloader and omz_converter with --config for it.",
        )
    return model


def add_build(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that works on a build; see `read_build`."""
    add_config(parser)
    parser.add_argument(
        "--weights",
        default="upstream",
        metavar="WHICH",
        help="upstream (the published checkpoint; default), bundled, auto (upstream if it can be "
        "reached, else bundled), or the path of a checkpoint",
    )
    add_weights_key(parser)
    parser.add_argument(
        "--name", help="name of the results for a checkpoint given by path (default: ...-custom)"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("build"),
        metavar="DIR",
        help="folder of the results (build)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be done, change nothing"
    )
    add_output(parser)


def add_weights_key(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses one of several sets of weights in a checkpoint."""
    parser.add_argument(
        "--weights-key",
        default="",
        metavar="NAME",
        help="which set of weights to take from a checkpoint that holds several, such as ema; "
        "`matting info --weights FILE` lists them",
    )


def read_build(options: argparse.Namespace) -> BuildRequest:
    """Read the options of `add_build`.

    Raises:
        ToolchainError: model.yml or the checkpoint is invalid, or options contradict each other.
    """
    from toolchain.pipeline.request import BuildRequest  # YAML, requests
    from toolchain.pipeline.weights import choose_weights

    model = read_config(options)
    weights = choose_weights(
        model, options.weights, options.output, options.name, options.weights_key
    )
    return BuildRequest(model, weights, options.output)


def weights_line(weights: Weights) -> str:
    """Describe in one line which weights a command uses, and why."""
    return f"Weights: {weights.kind} ({weights.why}): {weights.description}."


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the options that replace export arguments of model.yml; see `read_settings`."""
    group = parser.add_argument_group("network", "instead of the export arguments of model.yml")
    group.add_argument("--input-size", type=parse_size, metavar="WxH", help="frame size (1280x720)")
    group.add_argument("--backbone-scale", type=float, metavar="S", help="0 < S <= 1 (0.25)")
    group.add_argument("--refine-mode", choices=REFINE_MODE_KEYS)
    group.add_argument(
        "--refine-sample-pixels", type=parse_positive, metavar="N", help="for sampling (80000)"
    )
    group.add_argument("--refine-threshold", type=float, metavar="T", help="for thresholding (0.1)")


def read_settings(options: argparse.Namespace, model: Model) -> ExportSettings | None:
    """Read the settings of the network from model.yml and the options of `add_network`.

    Returns:
        The settings; None if no option was given, so that those of model.yml apply.

    Raises:
        CatalogError: An export argument of model.yml is invalid.
        UsageError: An option is invalid.
    """
    given = {
        "input_size": options.input_size,
        "backbone_scale": options.backbone_scale,
        "refine_mode": options.refine_mode,
        "refine_sample_pixels": options.refine_sample_pixels,
        "refine_threshold": options.refine_threshold,
    }
    if all(value is None for value in given.values()):
        return None
    from toolchain.catalog.arguments import export_settings, with_overrides

    return with_overrides(export_settings(model), **given)


def add_inputs(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add the option that names folders of real frames.

    Args:
        parser: The parser.
        purpose: What the frames are for, for the help.
    """
    parser.add_argument(
        "--inputs",
        type=Path,
        action="append",
        metavar="DIR",
        help=f"folder of real frames and clean plates to {purpose} too (repeatable)",
    )


def add_frames(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the option for a number of frames.

    Args:
        parser: The parser.
        text: What is counted, for the help.
    """
    parser.add_argument("--frames", type=parse_positive, metavar="N", help=text)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses a device."""
    parser.add_argument(
        "--device",
        default=DEFAULT_DEVICE,
        metavar="D",
        help=f"OpenVINO device, such as GPU ({DEFAULT_DEVICE})",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a built model and how it is run."""
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("build"),
        metavar="PATH",
        help="folder of a build or of one of its models, a package, or the .xml of an IR (build)",
    )
    parser.add_argument(
        "--precision",
        metavar="P",
        help=f"one of {', '.join(BUILT)} (the first present of {', '.join(PREFERRED)})",
    )
    add_device(parser)
    parser.add_argument(
        "--precision-hint",
        choices=HINTS,
        default="default",
        help="precision to compute in: f32, or the default of the device (default)",
    )


def add_package(parser: argparse.ArgumentParser) -> None:
    """Add the options of the commands that read a package; see `require_key`."""
    parser.add_argument(
        "package",
        type=Path,
        metavar="PACKAGE",
        help="an archive made by `matting package`, or the folder of an unpacked one",
    )
    parser.add_argument(
        "--verify-key", type=Path, metavar="KEY", help="public key (PEM) of the expected signer"
    )
    parser.add_argument(
        "--signature", type=Path, metavar="FILE", help="the signature, if it is not next to PACKAGE"
    )
    add_output(parser)


def require_key(options: argparse.Namespace) -> None:
    """Check that a signature comes with a key to verify it.

    Raises:
        UsageError: `--signature` is given without `--verify-key`.
    """
    if options.signature and not options.verify_key:
        raise UsageError("--signature has no effect without --verify-key")
