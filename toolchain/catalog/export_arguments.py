"""Export settings from `conversion_to_onnx_args`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from toolchain.catalog.argument_list import (
    Argument,
    errors_in_file,
    parse_arguments,
    read_finite,
    read_or_default,
    read_positive,
)
from toolchain.catalog.fields import join_or
from toolchain.catalog.records import Model
from toolchain.catalog.yaml_nodes import error_at, find_place, quote
from toolchain.definitions.ports import INPUTS
from toolchain.definitions.refinement import REFINE_MODE_KEYS, REFINE_MODES, RefineMode
from toolchain.errors import UsageError

KEYS = ("backbone_scale", "refine_mode", "refine_sample_pixels", "refine_threshold")
STEP = 4  # the refiner works on quarter-size cells
SMALLEST = 16  # pixels of the backbone's input: its output stride
LARGEST = 16_384
CELL_PIXELS = 16  # one refined cell is 4 x 4
SHAPE = "[1, 3, H, W] for src and bgr alike"
RANK = 4


@dataclass(frozen=True)
class ExportSettings:
    """Settings of the exported network.

    Attributes:
        width: Width of a frame in pixels, divisible by 4.
        height: Height of a frame in pixels, divisible by 4.
        backbone_scale: Size of the backbone's input relative to the frame, 0 < scale <= 1.
        mode: Which 4 x 4 pixel patches are refined, see `definitions.refinement`.
        sample_pixels: Number of refined pixels in mode "sampling": the `sample_pixels` // 16
            patches with the largest expected error.
        threshold: Expected error above which a patch is refined in mode "thresholding", 0..1.
    """

    width: int
    height: int
    backbone_scale: float = 0.25
    mode: RefineMode = "sampling"
    sample_pixels: int = 80_000
    threshold: float = 0.1


def export_settings(model: Model) -> ExportSettings:
    """Read the settings from a model's conversion_to_onnx_args and input_info.

    Raises:
        CatalogError: An argument is unknown or has an invalid value.
    """
    path, key = model.config_path, "conversion_to_onnx_args"
    found = parse_arguments(model.conversion_to_onnx_args or (), KEYS, errors_in_file(path, key))
    width, height = _size(model)
    settings = ExportSettings(
        width=width,
        height=height,
        backbone_scale=read_or_default(found, KEYS[0], read_finite, ExportSettings.backbone_scale),
        mode=read_or_default(found, KEYS[1], _mode, ExportSettings.mode),
        sample_pixels=read_or_default(found, KEYS[2], read_positive, ExportSettings.sample_pixels),
        threshold=read_or_default(found, KEYS[3], read_finite, ExportSettings.threshold),
    )
    if fault := _fault(settings):
        about, wrong, expected = fault
        if about in found:
            raise found[about].error(wrong, expected)
        place = find_place(path, model.input_info[0].name)
        raise error_at(path, *place, f"{about} {wrong}", expected)
    return settings


def with_overrides(
    settings: ExportSettings,
    *,
    input_size: tuple[int, int] | None = None,
    backbone_scale: float | None = None,
    refine_mode: RefineMode | None = None,
    refine_sample_pixels: int | None = None,
    refine_threshold: float | None = None,
) -> ExportSettings:
    """Replace the settings that are given on the command line.

    Args:
        settings: The settings of model.yml.
        input_size: Width and height in pixels.  None, here and below: not given.
        backbone_scale: See `ExportSettings`.
        refine_mode: See `ExportSettings.mode`.
        refine_sample_pixels: See `ExportSettings.sample_pixels`.
        refine_threshold: See `ExportSettings.threshold`.

    Raises:
        UsageError: A value is invalid, or the mode does not use it.
    """
    changes: dict[str, object] = {
        "backbone_scale": backbone_scale,
        "mode": refine_mode,
        "sample_pixels": refine_sample_pixels,
        "threshold": refine_threshold,
    }
    if input_size is not None:
        changes["width"], changes["height"] = input_size
    given_values = {name: value for name, value in changes.items() if value is not None}
    changed = replace(settings, **given_values)  # type: ignore[arg-type]
    if changed.mode not in REFINE_MODE_KEYS:
        expected = join_or(REFINE_MODE_KEYS)
        raise UsageError(f"--refine-mode is {quote(changed.mode)}; expected {expected}")
    for mode in REFINE_MODES:
        if changes.get(mode.setting) is not None and changed.mode != mode.key:
            raise UsageError(
                f"--refine-{mode.setting.replace('_', '-')} has no effect with refine mode "
                f"{changed.mode}",
                hint=f"Remove it, or use --refine-mode {mode.key}.",
            )
    if fault := _fault(changed):
        about, wrong, expected = fault
        raise UsageError(f"--{about.replace('_', '-')} {wrong}; expected {expected}")
    return changed


def _mode(argument: Argument) -> RefineMode:
    for key in REFINE_MODE_KEYS:
        if key == argument.required_value():
            return key
    raise argument.error(f"is {quote(argument.required_value())}", join_or(REFINE_MODE_KEYS))


def _size(model: Model) -> tuple[int, int]:
    shapes = {info.name: info.fixed_shape for info in model.input_info}
    src, bgr = (shapes.get(name, ()) for name in INPUTS)
    if set(shapes) != set(INPUTS) or src != bgr or len(src) != RANK or src[:2] != (1, 3):
        line, column = find_place(model.config_path, model.input_info[0].name if shapes else "")
        wrong = f"input_info is {', '.join(f'{n} {list(s)}' for n, s in shapes.items()) or 'empty'}"
        raise error_at(model.config_path, line, column, wrong, SHAPE)
    return src[3], src[2]


def _fault(settings: ExportSettings) -> tuple[str, str, str] | None:
    """Return the first fault: the argument's name, what is wrong, what is expected."""
    return next(_faults(settings), None)


def _faults(settings: ExportSettings) -> Iterator[tuple[str, str, str]]:
    width, height, scale = settings.width, settings.height, settings.backbone_scale
    size = f"is {width}x{height}"
    if width % STEP or height % STEP or min(width, height) < STEP:
        yield "input_size", size, f"width and height divisible by {STEP}"
    if max(width, height) > LARGEST:
        yield "input_size", size, f"at most {LARGEST} pixels each way"
    if not 0 < scale <= 1:
        yield "backbone_scale", f"is {scale}", "more than 0, at most 1"
    if min(width, height) * scale < SMALLEST:
        wrong = f"of {scale} leaves the backbone {width * scale:g}x{height * scale:g} pixels"
        yield "backbone_scale", wrong, f"at least {SMALLEST} each way"
    if settings.sample_pixels < CELL_PIXELS:
        expected = f"at least {CELL_PIXELS}, one cell"
        yield "refine_sample_pixels", f"is {settings.sample_pixels}", expected
    if not 0 <= settings.threshold <= 1:
        yield "refine_threshold", f"is {settings.threshold}", "0 to 1"
