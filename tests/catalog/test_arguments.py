"""Settings from argument lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.catalog.arguments import (
    ConversionSettings,
    ExportSettings,
    conversion_settings,
    export_settings,
    substitute,
    with_overrides,
)
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import InputInfo, Model
from toolchain.errors import CatalogError, UsageError

SHIPPED = read_model(builtin_config())
SHAPE = (1, 3, 720, 1280)


def exporting(*args: str) -> Model:
    return replace(SHIPPED, conversion_to_onnx_args=args)


def converting(*args: str) -> ConversionSettings:
    return conversion_settings(replace(SHIPPED, model_optimizer_args=args))


def test_the_built_in_model_has_the_published_settings() -> None:
    """It is exported at 1280x720 and converted for BGR 0..255."""
    assert export_settings(SHIPPED) == ExportSettings(1280, 720, 0.25, "sampling", 80_000, 0.1)
    assert conversion_settings(SHIPPED) == ConversionSettings(
        inputs=("src", "bgr"),
        outputs=("pha", "fgr"),
        scale=(("src", (255.0,)), ("bgr", (255.0,))),
        reverse_input_channels=True,
        layouts=(("src", "NCHW"), ("bgr", "NCHW")),
        shapes=(("src", SHAPE), ("bgr", SHAPE)),
    )
    hash(conversion_settings(SHIPPED))


@pytest.mark.parametrize(
    "args",
    [
        ("--refine-mode=thresholding", "--refine-threshold=0.2", "--backbone-scale=.5"),
        ("--refine-mode thresholding", "--refine-threshold 0.2", "--backbone-scale 0.5"),
        ("--refine-mode", "thresholding", "--refine_threshold", "2e-1", "--backbone_scale", "0.5"),
        ("--refine-mode=thresholding", "--refine-mode=thresholding", "--refine-threshold=0.2",
         "--backbone-scale=0.5"),
    ],
)  # fmt: skip
def test_all_notations_of_an_argument_are_equal(args: Sequence[str]) -> None:
    """`--key=value`, `--key value` in one item or in two, hyphens or underscores."""
    expected = ExportSettings(1280, 720, 0.5, "thresholding", threshold=0.2)
    assert export_settings(exporting(*args)) == expected


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--unknown=1",), 'unknown argument "--unknown"'),
        (("--refine-mod=full",), "expected --refine_mode"),
        (("stray",), '"stray" is not the value of an argument'),
        (("--refine-mode=full", "more"), '"more" is not the value of an argument'),
        (("--refine-mode=full", "--refine-mode=sampling"), "each argument once"),
        (("--refine-mode=half",), "sampling, thresholding or full"),
        (("--refine-mode",), "has no value"),
        (("--backbone-scale=0",), "more than 0"),
        (("--backbone-scale=1.5",), "at most 1"),
        (("--backbone-scale=nan",), "a finite number"),
        (("--backbone-scale=0.02",), "at least 16 each way"),
        (("--refine-sample-pixels=0",), "a positive integer"),
        (("--refine-sample-pixels=8",), "one cell"),
        (("--refine-sample-pixels=\u0663\u0663",), "a positive integer"),
        (("--refine-threshold=2",), "0 to 1"),
    ],
)
def test_an_invalid_export_argument_is_an_error(args: Sequence[str], word: str) -> None:
    """One line with the path of model.yml and the argument."""
    with pytest.raises(CatalogError) as caught:
        export_settings(exporting(*args))
    (line,) = caught.value.lines()
    assert line.startswith(f"{builtin_config()}:")
    assert word in line


def test_an_invalid_argument_is_reported_with_its_line(tmp_path: Path) -> None:
    """Line and column are those of the argument in the file."""
    path = tmp_path / "model.yml"
    text = builtin_config().read_text(encoding="utf-8").replace("=sampling", "=sampled")
    path.write_text(text, encoding="utf-8")
    line = 1 + next(i for i, t in enumerate(text.splitlines()) if "=sampled" in t)
    with pytest.raises(CatalogError, match=f"model.yml:{line}:5: conversion_to_onnx_args: "):
        export_settings(read_model(path))


@pytest.mark.parametrize(
    "shapes",
    [
        {"src": (1, 3, 720, 1280)},
        {"src": (1, 3, 720, 1280), "bgr": (1, 3, 720, 1276)},
        {"src": (1, 3, 720, 1280), "ref": (1, 3, 720, 1280)},
        {"src": (1, 1, 720, 1280), "bgr": (1, 1, 720, 1280)},
        {"src": (), "bgr": ()},
        {"src": (1, 3, 718, 1280), "bgr": (1, 3, 718, 1280)},
        {},
    ],
)
def test_inputs_must_be_two_frames_of_one_size(shapes: dict[str, tuple[int, ...]]) -> None:
    """Both 1x3xHxW, H and W divisible by 4; anything else is refused."""
    info = tuple(InputInfo(name, shape) for name, shape in shapes.items())
    with pytest.raises(CatalogError):
        export_settings(replace(SHIPPED, input_info=info))


def test_overrides_replace_settings_and_are_checked() -> None:
    """An invalid value, or one that the refine mode does not use, is a UsageError."""
    settings = export_settings(SHIPPED)
    assert with_overrides(settings) == settings
    assert with_overrides(settings, input_size=(1920, 1080)).width == 1920
    full = with_overrides(settings, refine_mode="full")
    assert (full.mode, full.height) == ("full", 720)
    for wrong in (
        {"input_size": (1921, 1080)},
        {"input_size": (0, 0)},
        {"input_size": (-4, 720)},
        {"input_size": (1280, 1 << 20)},
        {"input_size": (32, 32)},
        {"backbone_scale": float("nan")},
        {"refine_mode": "some"},
        {"refine_mode": "full", "refine_sample_pixels": 100},
        {"refine_threshold": 0.5},
        {"refine_mode": "thresholding", "refine_threshold": -1.0},
    ):
        with pytest.raises(UsageError):
            with_overrides(settings, **wrong)  # type: ignore[arg-type]


@given(
    st.tuples(st.integers(-8, 20_000), st.integers(-8, 20_000)),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_accepted_overrides_always_fit_the_network(size: tuple[int, int], scale: float) -> None:
    """Sizes are divisible by 4, and the backbone's input has at least 16 pixels."""
    try:
        made = with_overrides(export_settings(SHIPPED), input_size=size, backbone_scale=scale)
    except UsageError:
        return
    assert made.width % 4 == made.height % 4 == 0
    assert 0 < made.backbone_scale <= 1
    assert min(size) * scale >= 16


def test_values_are_given_by_name_by_order_or_by_channel() -> None:
    """All of Model Optimizer's notations give the same pairs."""
    both = (("src", (1.0, 2.0, 3.0)), ("bgr", (4.0,)))
    named = converting("--mean_values=src[1,2,3],bgr[4]", "--scale_values", "src(1, 2,3),bgr[4]")
    assert named.mean == named.scale == both
    ordered = converting("--mean_values=[1,2,3],[4]", "--scale_values [1,2,3],[4]")
    assert ordered.mean == ordered.scale == both
    assert converting("--scale_values=bgr[127.5]").scale == (("bgr", (127.5,)),)
    assert converting("--scale=127.5").scale == (("src", (127.5,)), ("bgr", (127.5,)))


def test_names_shapes_and_layouts() -> None:
    """Arguments replace input_info; shapes are in the order of --input."""
    made = converting(
        "--input=bgr,src", "--input_shape=[1,3,4,8],(1,3,16,32)", "--layout=src(nhwc),bgr[NCHW]"
    )
    assert made.inputs == ("bgr", "src")
    assert dict(made.shapes) == {"bgr": (1, 3, 4, 8), "src": (1, 3, 16, 32)}
    assert dict(made.layouts) == {"bgr": "NCHW", "src": "NHWC"}
    assert dict(converting("--input=src[1 3 4 8],bgr").shapes)["src"] == (1, 3, 4, 8)
    assert dict(converting("--layout=NCHW,NHWC").layouts) == {"src": "NCHW", "bgr": "NHWC"}
    other = converting("--model_name=x.y", "--framework=onnx", "--input_model=$dl_dir/a.onnx")
    assert (other.model_name, other.input_model) == ("x.y", "$dl_dir/a.onnx")
    assert other.reverse_input_channels is False
    assert other.outputs == ()


@pytest.mark.parametrize(
    ("args", "half"),
    [
        ((), None),
        (("--compress_to_fp16",), True),
        (("--compress_to_fp16=False",), False),
        (("--data_type=FP16",), True),
        (("--data_type=float", "--compress_to_fp16=no"), False),
    ],
)
def test_compression_is_on_off_or_not_given(args: Sequence[str], *, half: bool | None) -> None:
    """--data_type and --compress_to_fp16 are equivalent."""
    assert converting(*args).compress_to_fp16 is half


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--freeze_placeholder_with_value=a->1",), "unknown argument"),
        (("--input=src->5",), "not supported"),
        (("--input=src,src",), "different names"),
        (("--output=pha,",), "no comma"),
        (("--output=pha[1]",), "different names"),
        (("--mean_values=[1,2,3]",), "1 values for 2 inputs"),
        (("--mean_values=src[1,2]",), "1 or 3"),
        (("--mean_values=src[1],[2]",), "a name with each value or with none"),
        (("--mean_values=other[1]",), "src, bgr"),
        (("--mean_values=src[1],src[2]",), "each input once"),
        (("--mean_values=1,2",), "in brackets"),
        (("--mean_values=src[a]",), "a finite number"),
        (("--mean_values=src[1",), "NAME[...]"),
        (("--scale_values=src[0]",), "has a 0"),
        (("--scale=0",), "has a 0"),
        (("--scale=1", "--scale_values=src[1]"), "one of the two"),
        (("--scale=1", "--scale=2"), "each argument once"),
        (("--input_shape=[1,3,-1,8],[1,3,8,8]",), "a positive integer"),
        (("--input_shape=[],[1]",), "static shapes"),
        (("--layout=src(nhwc->nchw)",), "layouts such as"),
        (("--layout=src(NN)",), "layouts such as"),
        (("--framework=tf",), "expected onnx"),
        (("--data_type=FP64",), "expected FP16"),
        (("--data_type=FP16", "--compress_to_fp16=False"), "contradicts"),
        (("--reverse_input_channels=perhaps",), "true or false"),
        (("--model_name=a/b",), "letters"),
    ],
)
def test_an_invalid_conversion_argument_is_an_error(args: Sequence[str], word: str) -> None:
    """In model.yml a CatalogError with the file, on the command line a UsageError."""
    for error, call in (
        (CatalogError, lambda: converting(*args)),
        (UsageError, lambda: conversion_settings(replace(SHIPPED, model_optimizer_args=()), args)),
    ):
        with pytest.raises(error) as caught:
            call()
        (line,) = caught.value.lines()
        assert word in line
        assert line.isprintable()


def test_extra_arguments_replace_those_of_the_model() -> None:
    """Arguments that --add_mo_arg does not have are kept."""
    made = conversion_settings(SHIPPED, ["--scale_values=src[2],bgr[3]", "--model_name=x"])
    assert made.scale == (("src", (2.0,)), ("bgr", (3.0,)))
    assert made.outputs == ("pha", "fgr")
    assert made.reverse_input_channels
    assert made.model_name == "x"


def test_variables_are_replaced() -> None:
    """Unknown variables are a CatalogError with the file."""
    folder = Path("some") / "dl"
    assert substitute(("--a=$dl_dir/x", "${dl_dir}y", "$$"), {"dl_dir": folder}) == (
        f"--a={folder}/x",
        f"{folder}y",
        "$",
    )
    with pytest.raises(CatalogError, match=r"unknown variable \$no; expected \$dl_dir"):
        substitute(("$no",), {"dl_dir": folder})
    with pytest.raises(CatalogError, match="without a variable name"):
        substitute(("5$",), {}, builtin_config())
