"""What omz_converter does with downloaded files: verified, converted, rounded as it did."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino.preprocess import PrePostProcessor

from tests.support.weights import picture
from toolchain.catalog.reader import read_model
from toolchain.errors import (
    ConversionError,
    DownloadError,
    IntegrityError,
    ToolchainError,
    UsageError,
)
from toolchain.omz.convert_model import (
    ConversionRequest,
    convert_downloaded,
    foresee_conversion,
)
from toolchain.progress import SilentListener

NAME = "small-matting"
FILE = "pytorch_mobilenetv2.pth"
ONNX_CONFIG = """\
name: ready-made
description: d
task_type: background_matting
framework: onnx
license: https://example.org/LICENSE
files:
  - {{name: ready.onnx, size: {size}, checksum: {checksum}, source: https://example.org/ready.onnx}}
model_info: {{model_type: matting}}
model_optimizer_args:
  - --input_model=$dl_dir/ready.onnx
  - --input=src,bgr
  - --output=pha,fgr
  - --scale=255
  - --reverse_input_channels
input_info:
  - {{name: src, shape: [1, 3, 192, 320], layout: NCHW}}
  - {{name: bgr, shape: [1, 3, 192, 320], layout: NCHW}}
"""


@pytest.fixture(scope="module")
def converted(
    small_config: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> ConversionRequest:
    """The PyTorch model, downloaded to one tree and converted into another; not to be changed."""
    root = tmp_path_factory.mktemp("incumbent")
    request = ConversionRequest(
        read_model(small_config), root / "downloads", root / "out", ("FP16", "FP32")
    )
    request.download_folder.mkdir(parents=True)
    shutil.copy(checkpoint, request.download_folder / FILE)
    assert ran(request) == ["export", "convert-FP16", "convert-FP32"]
    return request


@pytest.fixture(scope="module")
def ready(
    converted: ConversionRequest, tmp_path_factory: pytest.TempPathFactory
) -> ConversionRequest:
    """A model that is published as ONNX, converted in place; not to be changed."""
    root = tmp_path_factory.mktemp("ready")
    data = converted.layout.onnx.read_bytes()
    config = root / "model.yml"
    checksum = hashlib.sha384(data).hexdigest()
    config.write_text(ONNX_CONFIG.format(size=len(data), checksum=checksum))
    request = ConversionRequest(read_model(config), root / "out", root / "out", ("FP16", "FP32"))
    request.download_folder.mkdir(parents=True)
    (request.download_folder / "ready.onnx").write_bytes(data)
    assert ran(request) == ["convert-FP16", "convert-FP32"]
    return request


@pytest.fixture
def copy(ready: ConversionRequest, tmp_path: Path) -> ConversionRequest:
    """The ready-made model's folder, for this test alone."""
    shutil.copytree(ready.output, tmp_path / "out")
    return replace(ready, downloads=tmp_path / "out", output=tmp_path / "out")


def ran(request: ConversionRequest) -> list[str]:
    """What ran, after it was foreseen without touching anything."""
    before = listing(request.output)
    seen = foresee_conversion(request)
    assert listing(request.output) == before
    outcomes = convert_downloaded(request, SilentListener())
    found = [outcome.entry for outcome in outcomes if outcome.ran]
    assert [item.entry for item in seen if item.action == "run"] == found
    assert [item.target for item in seen] == [outcome.files[0] for outcome in outcomes]
    return found


def listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def outputs(model: Any, feed: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(feed)
    return [np.array(found[name]) for name in ("pha", "fgr")]


def test_files_lie_where_the_incumbent_put_them(converted: ConversionRequest) -> None:
    """ONNX and IR below the output folder, the checkpoint below the other one, alone."""
    folder = converted.output / "public" / NAME
    visible = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.parts)
    }
    pairs = {f"{p}/{NAME}.{s}" for p in ("FP16", "FP32") for s in ("xml", "bin")}
    assert visible == {f"{NAME}.onnx", *pairs}
    downloads = {p.name for p in converted.download_folder.iterdir() if p.name[0] != "."}
    assert downloads == {FILE, "checkpoint.lock.json"}


def test_a_second_conversion_keeps_everything(converted: ConversionRequest) -> None:
    """With nothing changed nothing is done, and nothing is written."""
    before = listing(converted.output)
    assert ran(converted) == []
    assert listing(converted.output) == before


@pytest.mark.parametrize("which", ["converted", "ready"])
def test_outputs_are_those_of_openvino_s_own_conversion(
    which: str, request: pytest.FixtureRequest, converted: ConversionRequest
) -> None:
    """Bit for bit at f32: convert_model, channels reversed, divided by 255."""
    asked: ConversionRequest = request.getfixturevalue(which)
    plain = openvino.convert_model(converted.layout.onnx)
    steps = PrePostProcessor(plain)
    for name in ("src", "bgr"):
        steps.input(name).tensor().set_layout(openvino.Layout("NCHW"))
        steps.input(name).model().set_layout(openvino.Layout("NCHW"))
        steps.input(name).preprocess().reverse_channels().scale(255.0)
    feed = {
        name: np.ascontiguousarray(frame.numpy()[:, ::-1] * 255)
        for name, frame in zip(("src", "bgr"), picture(8, 320, 192), strict=True)
    }
    expected = outputs(steps.build(), feed)
    found = outputs(asked.layout.ir("FP32"), feed)
    for one, other in zip(expected, found, strict=True):
        assert (one == other).all()
    assert 0.1 < expected[0].mean() < 0.9


def test_fp16_rounds_every_weight(ready: ConversionRequest) -> None:
    """As the incumbent's, the FP16 IR has half the size and no exception for any layer."""
    full, half = (
        ready.layout.ir(precision).with_suffix(".bin").stat().st_size
        for precision in ("FP32", "FP16")
    )
    assert half < 0.505 * full


def test_the_ir_tells_its_source(ready: ConversionRequest) -> None:
    """rt_info holds the file's digest, colour order, and model.yml's own model_info."""
    model = openvino.Core().read_model(ready.layout.ir("FP16"))
    told = {
        key: model.get_rt_info(["matting", key]).astype(str)
        for key in ("model", "source", "source_sha384", "input_colour_order", "input_range")
    }
    digest = hashlib.sha384((ready.download_folder / "ready.onnx").read_bytes()).hexdigest()
    assert told == {
        "model": "ready-made",
        "source": "ready.onnx",
        "source_sha384": digest,
        "input_colour_order": "BGR",
        "input_range": "0..255",
    }
    assert model.get_rt_info(["model_info", "model_type"]).astype(str) == "matting"


def test_only_a_lost_file_is_made_again(ready: ConversionRequest, copy: ConversionRequest) -> None:
    """One precision does not drag the other one along, and the bytes are the same."""
    lost = copy.layout.ir("FP16").with_suffix(".bin")
    good = lost.read_bytes()
    lost.unlink()
    assert ran(copy) == ["convert-FP16"]
    assert lost.read_bytes() == good
    assert ready.layout.ir("FP16").read_bytes() == copy.layout.ir("FP16").read_bytes()


def test_a_lost_onnx_is_exported_again_and_nothing_else(
    converted: ConversionRequest, tmp_path: Path
) -> None:
    """The same checkpoint gives the same ONNX, so the IR still holds."""
    shutil.copytree(converted.output, tmp_path / "out")
    request = replace(converted, output=tmp_path / "out")
    request.layout.onnx.unlink()
    assert ran(request) == ["export"]
    assert request.layout.onnx.read_bytes() == converted.layout.onnx.read_bytes()


@pytest.mark.parametrize(
    ("argument", "ports"),
    [
        ("--output=fgr", ["src", "bgr", "fgr"]),
        ("--output fgr,pha", ["src", "bgr", "fgr", "pha"]),
    ],
)
def test_an_added_argument_counts_before_the_model_s(
    argument: str, ports: list[str], copy: ConversionRequest
) -> None:
    """--add_mo_arg changes what is made, and only then is it made again."""
    changed = replace(copy, arguments=(argument,), precisions=("FP32",))
    assert ran(changed) == ["convert-FP32"]
    assert ran(changed) == []
    model = openvino.Core().read_model(copy.layout.ir("FP32"))
    assert [port.get_any_name() for port in (*model.inputs, *model.outputs)] == ports


def test_an_added_rounding_and_name_have_the_last_word(copy: ConversionRequest) -> None:
    """--compress_to_fp16 rounds in the FP32 folder too; --model_name names the files."""
    changed = replace(
        copy, arguments=("--compress_to_fp16=True", "--model_name=other"), precisions=("FP32",)
    )
    assert ran(changed) == ["convert-FP32"]
    folder = copy.layout.folder / "FP32"
    sizes = [(folder / f"{name}.bin").stat().st_size for name in ("other", "ready-made")]
    assert sizes[0] < 0.505 * sizes[1]


def test_an_argument_that_can_t_be_translated_is_named(copy: ConversionRequest) -> None:
    """It is an error of usage before anything is read or written."""
    before = listing(copy.output)
    for work in (foresee_conversion, lambda request: convert_downloaded(request, SilentListener())):
        with pytest.raises(UsageError, match="--transform"):
            work(replace(copy, arguments=("--transform=LowLatency2",)))
    assert listing(copy.output) == before


def test_a_damaged_download_is_refused(copy: ConversionRequest) -> None:
    """A file that is not the published one is not converted; the IR that was there stays."""
    source = copy.download_folder / "ready.onnx"
    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 1
    source.write_bytes(data)
    before = {path: path.read_bytes() for path in copy.layout.folder.rglob("*.bin")}
    with pytest.raises(IntegrityError, match="expected sha384"):
        convert_downloaded(copy, SilentListener())
    assert before == {path: path.read_bytes() for path in copy.layout.folder.rglob("*.bin")}


def test_a_changed_checkpoint_is_refused(converted: ConversionRequest, tmp_path: Path) -> None:
    """The digest recorded at first sight holds for the converter too."""
    shutil.copytree(converted.downloads, tmp_path / "downloads")
    request = replace(converted, downloads=tmp_path / "downloads")
    with (request.download_folder / FILE).open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(DownloadError, match=r"checkpoint\.lock\.json"):
        convert_downloaded(request, SilentListener())


def test_a_missing_download_is_told_with_the_command(
    ready: ConversionRequest, tmp_path: Path
) -> None:
    """Foreseen and run alike name the file and the command that fetches it."""
    request = replace(ready, downloads=tmp_path / "none", output=tmp_path / "out")
    for work in (foresee_conversion, lambda request: convert_downloaded(request, SilentListener())):
        with pytest.raises(ToolchainError, match=r"has no ready\.onnx") as error:
            work(request)
        assert f"omz_downloader --name ready-made -o {tmp_path / 'none'}" in error.value.hint


@pytest.mark.parametrize("framework", ["tf", "dldt"])
def test_another_framework_is_refused_with_what_it_needs(
    framework: Any, ready: ConversionRequest
) -> None:
    """What needs another tool is said, with that tool's name."""
    model = replace(ready.model, framework=framework)
    with pytest.raises(ConversionError, match=f"framework is {framework}") as error:
        convert_downloaded(replace(ready, model=model), SilentListener())
    assert "ovc" in error.value.hint


def test_a_verdict_on_other_files_is_removed(copy: ConversionRequest) -> None:
    """What `matting` had validated is no longer so once the IR was made anew."""
    copy.layout.validation.write_text("{}")
    assert ran(copy) == []
    assert copy.layout.validation.exists()
    copy.layout.ir("FP32").unlink()
    assert ran(copy) == ["convert-FP32"]
    assert not copy.layout.validation.exists()
