"""omz_converter: flags, headings, exit codes."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import onnx
import openvino
import pytest
from onnx import TensorProto, helper

from toolchain.omz.converter import main

HEAD = "description: d\ntask_type: detection\nframework: {}\nlicense: MIT\nfiles:\n"
FILE = "  - {{name: {}, size: {}, checksum: {}, source: https://example.org/x}}\n"
ONNX = """\
model_optimizer_args: [--input_model=$dl_dir/net.onnx, --scale=255, --reverse_input_channels]
input_info: [{name: x, shape: [1, 3, 4, 4], layout: NCHW}]
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An ONNX of one convolution."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 3, 1, 1], [0.5] * 6)
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 4, 4])
        for name, channels in (("x", 3), ("y", 2))
    ]
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path_factory.mktemp("tiny") / "net.onnx"
    onnx.save(model, path)
    return path.read_bytes()


@pytest.fixture
def root(tiny: bytes, tmp_path: Path) -> Path:
    """A tree of models: two that convert, one that needs nothing, one of another framework."""
    for name, framework, files, rest in (
        ("first", "onnx", {"net.onnx": tiny}, ONNX),
        ("second", "onnx", {"net.onnx": tiny}, ONNX),
        ("given", "dldt", {"FP32/given.xml": b"<net/>", "FP32/given.bin": b"0"}, ""),
        ("other", "tf", {"net.pb": b"graph"}, "model_optimizer_args: []\ninput_info: [{name: x}]"),
    ):
        text = HEAD.format(framework)
        for file, data in files.items():
            text += FILE.format(file, len(data), hashlib.sha384(data).hexdigest())
            target = tmp_path / "downloads" / "public" / name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        folder = tmp_path / "models" / "public" / name
        folder.mkdir(parents=True)
        (folder / "model.yml").write_text(text + rest)
    return tmp_path


def convert(root: Path, *more: str) -> int:
    models, downloads = str(root / "models"), str(root / "downloads")
    return main(["--models_root", models, "-d", downloads, "-o", str(root / "out"), *more])


def made(root: Path) -> set[str]:
    """Relative names of the IR files below the output folder."""
    out = root / "out" / "public"
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.xml")}
    assert all((out / name).with_suffix(".bin").is_file() for name in names)
    return names


def test_each_precision_has_its_folder(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both precisions of the named model, in the incumbent's layout, apart from the downloads."""
    assert convert(root, "--name", "first") == 0
    assert made(root) == {"first/FP16/first.xml", "first/FP32/first.xml"}
    assert not (root / "downloads" / "public" / "first" / "FP32").exists()
    out = capsys.readouterr().out
    assert "========== Converting first to IR (FP16, FP32)\n" in out
    model = openvino.Core().read_model(root / "out" / "public" / "first" / "FP32" / "first.xml")
    assert [port.get_any_name() for port in (*model.inputs, *model.outputs)] == ["x", "y"]
    assert convert(root, "--name", "first") == 0
    assert capsys.readouterr().out.count("[ up to date ]") == 2


def test_without_an_output_folder_results_lie_beside_the_downloads(root: Path) -> None:
    """-o is the download folder unless it is given."""
    arguments = ["--models_root", str(root / "models"), "-d", str(root / "downloads")]
    assert main([*arguments, "--name", "first", "--precisions", "FP16"]) == 0
    assert (root / "downloads" / "public" / "first" / "FP16" / "first.xml").is_file()


def test_precisions_choose_and_a_lacking_one_is_skipped(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only what is asked for is made; a model that has none of it is skipped, said, exit 0."""
    assert convert(root, "--name", "first", "--precisions", "FP16,FP16-INT8") == 0
    assert made(root) == {"first/FP16/first.xml"}
    capsys.readouterr()
    assert convert(root, "--name", "first", "--precisions", "FP16-INT8") == 0
    assert capsys.readouterr().out == "========== Skipping first (all conversions skipped)\n\n"


def test_an_ir_needs_no_conversion(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that is published as IR is skipped, and said; nothing is written."""
    assert convert(root, "--name", "given") == 0
    assert capsys.readouterr().out == "========== Skipping given (no conversions defined)\n\n"
    assert not (root / "out").exists()


@pytest.mark.parametrize("jobs", ["1", "3", "auto"])
def test_failures_are_listed_and_the_others_are_made(
    jobs: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FAILED: and the names, exit 1, one sentence each on stderr; with -j every line is whole."""
    (root / "downloads" / "public" / "second" / "net.onnx").write_bytes(b"damaged")
    assert convert(root, "--all", "--precisions", "FP32", "-j", jobs) == 1
    out, err = capsys.readouterr()
    assert out.endswith("FAILED:\nother\nsecond\n")
    assert "other: its framework is tf" in err
    assert "net.onnx: expected " in err
    assert "Traceback" not in err
    assert made(root) == {"first/FP32/first.xml"}
    heads = ("==========", "[ ", "FAILED:", "other", "second")
    assert all(line.startswith(heads) for line in out.splitlines() if line)


def test_a_dry_run_touches_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would be written, and afterwards that it is there."""
    for flag in ("--dry_run", "--dry-run"):
        assert convert(root, "--name", "first", flag) == 0
        out = capsys.readouterr().out
        target = root / "out" / "public" / "first" / "FP32" / "first.xml"
        assert f"========== (DRY RUN) first: would write {target}\n" in out
        assert not (root / "out").exists()
    assert convert(root, "--name", "first") == 0
    written = {path: path.stat().st_mtime_ns for path in (root / "out").rglob("*")}
    capsys.readouterr()
    assert convert(root, "--name", "first", "--dry_run") == 0
    assert capsys.readouterr().out.count("up to date") == 2
    assert written == {path: path.stat().st_mtime_ns for path in (root / "out").rglob("*")}


def test_a_missing_download_names_the_command(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is fetched; the command that would fetch it is told."""
    shutil.rmtree(root / "downloads")
    assert convert(root, "--name", "first") == 1
    out, err = capsys.readouterr()
    assert out.endswith("FAILED:\nfirst\n")
    assert f"omz_downloader --name first -o {root / 'downloads'}" in err


def test_added_arguments_are_translated(root: Path) -> None:
    """Both spellings, repeated: the IR gets another name and the FP32 folder half the weights."""
    added = ["--add_mo_arg=--model_name=renamed", "--add-mo-arg=--compress_to_fp16=True"]
    assert convert(root, "--name", "first", "--precisions", "FP32", *added) == 0
    assert made(root) == {"first/FP32/renamed.xml"}
    xml = (root / "out" / "public" / "first" / "FP32" / "renamed.xml").read_text()
    assert 'element_type="f16"' in xml


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_argument_that_can_t_be_translated_ends_it(
    jobs: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, and the exit code is that of bad arguments."""
    assert convert(root, "--name", "first", "-j", jobs, "--add_mo_arg=--transform=Pruning") == 2
    err = capsys.readouterr().err
    assert "--transform" in err
    assert "can't be translated" in err
    assert not list(root.glob("out/**/*.xml"))


def test_mo_and_python_are_accepted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Old command lines go on working, and are told that these two change nothing."""
    for flags in (["--mo", "mo.py"], ["-p", "python3"], ["--python", "python3"]):
        assert convert(root, "--name", "first", "--precisions", "FP16", *flags) == 0
        assert "no Model Optimizer is run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--all", "--precisions", "FP33"], 1, "Unknown precisions specified: FP33."),
        (["--name", "absent"], 1, 'No matching models: "absent"'),
        (["--all", "-j", "0"], 2, "must be a positive integer or \"auto\" (got '0')"),
        (["--all", "-j", "many"], 2, "must be a positive integer or \"auto\" (got 'many')"),
        ([], 2, "must be specified"),
        (["--all", "--unknown"], 2, "unrecognized"),
    ],
)
def test_bad_arguments(
    arguments: list[str], code: int, said: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 for what names nothing, 2 for what argparse refuses; nothing is written."""
    assert convert(root, *arguments) == code
    assert said in capsys.readouterr().err
    assert not (root / "out").exists()


def test_two_checkpoints_side_by_side(
    small_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With -j 2, two PyTorch models are exported and converted whole, and every line is heard."""
    text = "\n".join(small_config.read_text().splitlines()[1:]) + "\n"  # named by their folders
    for name in ("one", "two"):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        (folder / "model.yml").write_text(text)
        target = tmp_path / "out" / name / "pytorch_mobilenetv2.pth"
        target.parent.mkdir(parents=True)
        shutil.copy(checkpoint, target)
    arguments = ["--models_root", str(tmp_path / "models"), "-d", str(tmp_path / "out")]
    assert main(["--all", *arguments, "-j", "2", "--precisions", "FP32"]) == 0
    out = capsys.readouterr().out
    for name in ("one", "two"):
        assert f"========== Converting {name} to IR (FP32)\n" in out
        assert f"s ] {tmp_path / 'out' / name / 'FP32' / f'{name}.xml'}\n" in out
    weights = [tmp_path / "out" / name / "FP32" / f"{name}.bin" for name in ("one", "two")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def unpacked(root: Path, tiny: bytes) -> Path:
    """A model whose ONNX comes in an archive, as after unpacking; returns its folder."""
    folder = root / "models" / "public" / "packed"
    folder.mkdir(parents=True)
    steps = "postprocessing: [{$type: unpack_archive, file: net.zip, format: zip}]\n"
    text = HEAD.format("onnx") + FILE.format("net.zip", 3, hashlib.sha384(b"zip").hexdigest())
    (folder / "model.yml").write_text(text + steps + ONNX.replace("net.onnx", "inner/net.onnx"))
    target = root / "downloads" / "public" / "packed" / "inner" / "net.onnx"
    target.parent.mkdir(parents=True)
    target.write_bytes(tiny)
    return target


def test_an_archive_that_was_unpacked_is_not_missed(
    root: Path, tiny: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an archive held is converted after the archive is gone; without it the ONNX is named."""
    target = unpacked(root, tiny)
    assert convert(root, "--name", "packed", "--precisions", "FP16") == 0
    assert made(root) == {"packed/FP16/packed.xml"}
    target.unlink()
    assert convert(root, "--name", "packed", "--precisions", "FP32") == 1
    assert "has no inner/net.onnx" in capsys.readouterr().err


def test_another_network_says_what_is_missing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A PyTorch model of code that is not here is refused before its files are looked for."""
    folder = root / "models" / "public" / "resnet"
    folder.mkdir(parents=True)
    text = HEAD.format("pytorch") + FILE.format("x.pth", 1, hashlib.sha384(b"x").hexdigest())
    lists = "conversion_to_onnx_args: [--model-name=resnet50]\nmodel_optimizer_args: []\n"
    (folder / "model.yml").write_text(text + lists)
    assert convert(root, "--name", "resnet") == 1
    out, err = capsys.readouterr()
    assert out.endswith("FAILED:\nresnet\n")
    assert "another network (--model-name=resnet50)" in err
    assert "framework onnx" in err
