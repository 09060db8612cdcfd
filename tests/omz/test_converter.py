"""omz_converter: flags, headings, exit codes."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import openvino
import pytest
from onnx import TensorProto, helper

from tests.support.omz_models import write_model
from toolchain.omz.converter import main

INPUT = [{"name": "x", "shape": [1, 3, 4, 4], "layout": "NCHW"}]


def onnx_keys(file: str = "net.onnx") -> dict[str, object]:
    """Keys of a model.yml that converts `file`."""
    arguments = [f"--input_model=$dl_dir/{file}", "--scale=255", "--reverse_input_channels"]
    return {"framework": "onnx", "model_optimizer_args": arguments, "input_info": INPUT}


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
    """Downloaded models: two ONNX files, one IR, one of another framework."""
    tensorflow = {"framework": "tf", "model_optimizer_args": [], "input_info": [{"name": "x"}]}
    for name, files, keys in (
        ("first", {"net.onnx": tiny}, onnx_keys()),
        ("second", {"net.onnx": tiny}, onnx_keys()),
        ("given", {"FP32/given.xml": b"<net/>", "FP32/given.bin": b"0"}, {}),
        ("other", {"net.pb": b"graph"}, tensorflow),
    ):
        write_model(tmp_path / "models", f"public/{name}", files, **keys)
        for file, data in files.items():
            target = tmp_path / "downloads" / "public" / name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    return tmp_path


def convert(root: Path, *more: str) -> int:
    models, downloads = str(root / "models"), str(root / "downloads")
    return main(["--models_root", models, "-d", downloads, "-o", str(root / "out"), *more])


def list_irs(root: Path) -> set[str]:
    """Relative names of the IR files below the output folder."""
    out = root / "out" / "public"
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.xml")}
    assert all((out / name).with_suffix(".bin").is_file() for name in names)
    return names


def test_each_precision_has_its_folder(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both precisions of the named model, in Open Model Zoo's layout, apart from the downloads."""
    assert convert(root, "--name", "first") == 0
    assert list_irs(root) == {"first/FP16/first.xml", "first/FP32/first.xml"}
    assert not (root / "downloads" / "public" / "first" / "FP32").exists()
    out = capsys.readouterr().out
    assert "========== Converting first to IR (FP16, FP32)\n" in out
    model = openvino.Core().read_model(root / "out" / "public" / "first" / "FP32" / "first.xml")
    assert [port.get_any_name() for port in (*model.inputs, *model.outputs)] == ["x", "y"]
    assert convert(root, "--name", "first") == 0
    assert capsys.readouterr().out.count("[ up to date ]") == 2


def test_without_an_output_folder_results_are_in_the_download_folder(root: Path) -> None:
    """-o is the download folder by default."""
    arguments = ["--models_root", str(root / "models"), "-d", str(root / "downloads")]
    assert main([*arguments, "--name", "first", "--precisions", "FP16"]) == 0
    assert (root / "downloads" / "public" / "first" / "FP16" / "first.xml").is_file()


def test_precisions_choose_and_a_missing_one_is_skipped(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only these precisions are made; a model without any of them is skipped with exit code 0."""
    assert convert(root, "--name", "first", "--precisions", "FP16,FP16-INT8") == 0
    assert list_irs(root) == {"first/FP16/first.xml"}
    capsys.readouterr()
    assert convert(root, "--name", "first", "--precisions", "FP16-INT8") == 0
    assert capsys.readouterr().out == "========== Skipping first (all conversions skipped)\n\n"


def test_an_ir_needs_no_conversion(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that is published as IR is skipped; nothing is written."""
    assert convert(root, "--name", "given") == 0
    assert capsys.readouterr().out == "========== Skipping given (no conversions defined)\n\n"
    assert not (root / "out").exists()


@pytest.mark.parametrize("jobs", ["1", "3", "auto"])
def test_failures_are_listed_and_the_others_are_converted(
    jobs: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FAILED: and the names, exit code 1, a message each on stderr; with -j no lines are mixed."""
    (root / "downloads" / "public" / "second" / "net.onnx").write_bytes(b"damaged")
    assert convert(root, "--all", "--precisions", "FP32", "-j", jobs) == 1
    out, err = capsys.readouterr()
    assert out.endswith("FAILED:\nother\nsecond\n")
    assert "other: framework tf is not supported" in err
    assert "net.onnx: expected " in err
    assert "Traceback" not in err
    assert list_irs(root) == {"first/FP32/first.xml"}
    heads = ("==========", "[ ", "FAILED:", "other", "second")
    assert all(line.startswith(heads) for line in out.splitlines() if line)


def test_a_dry_run_changes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints what would be written, and after the conversion that it is up to date."""
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


def test_a_missing_download_shows_the_command(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is fetched or written; the error shows the command that downloads the file."""
    shutil.rmtree(root / "downloads")
    assert convert(root, "--name", "first") == 1
    out, err = capsys.readouterr()
    assert out.endswith("FAILED:\nfirst\n")
    assert f"omz_downloader --name first -o {root / 'downloads'}" in err
    assert not (root / "downloads").exists()
    assert not (root / "out").exists()


def test_added_arguments_are_translated(root: Path) -> None:
    """Both spellings: the IR gets another name, and weights in FP16 in the FP32 folder."""
    added = ["--add_mo_arg=--model_name=renamed", "--add-mo-arg=--compress_to_fp16=True"]
    assert convert(root, "--name", "first", "--precisions", "FP32", *added) == 0
    assert list_irs(root) == {"first/FP32/renamed.xml"}
    xml = (root / "out" / "public" / "first" / "FP32" / "renamed.xml").read_text()
    assert 'element_type="f16"' in xml


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_argument_that_cannot_be_translated_ends_the_command(
    jobs: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error shows it, and the exit code is that of invalid arguments."""
    assert convert(root, "--name", "first", "-j", jobs, "--add_mo_arg=--transform=Pruning") == 2
    err = capsys.readouterr().err
    assert 'unknown argument "--transform"' in err
    assert not list(root.glob("out/**/*.xml"))


def test_mo_and_python_are_accepted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Old command lines work, with a note that these two have no effect."""
    for flags in (["--mo", "mo.py"], ["-p", "python3"], ["--python", "python3"]):
        assert convert(root, "--name", "first", "--precisions", "FP16", *flags) == 0
        assert "no Model Optimizer is run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
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
    arguments: list[str], code: int, message: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 for names that do not exist, 2 for what argparse refuses; nothing is written."""
    assert convert(root, *arguments) == code
    assert message in capsys.readouterr().err
    assert not (root / "out").exists()


def test_two_checkpoints_at_the_same_time(
    small_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With -j 2, two PyTorch models are exported and converted, and no line of output is lost."""
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


def test_an_unpacked_archive_need_not_exist(
    root: Path, tiny: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file from an archive is converted without the archive; if it is missing, it is named."""
    steps = [{"$type": "unpack_archive", "file": "net.zip", "format": "zip"}]
    keys = {**onnx_keys("inner/net.onnx"), "postprocessing": steps}
    write_model(root / "models", "public/packed", {"net.zip": b"zip"}, **keys)
    target = root / "downloads" / "public" / "packed" / "inner" / "net.onnx"
    target.parent.mkdir(parents=True)
    target.write_bytes(tiny)
    assert convert(root, "--name", "packed", "--precisions", "FP16") == 0
    assert list_irs(root) == {"packed/FP16/packed.xml"}
    target.unlink()
    assert convert(root, "--name", "packed", "--precisions", "FP32") == 1
    assert "file not found: inner/net.onnx" in capsys.readouterr().err


def test_a_pytorch_model_of_another_network_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its code is not included, so its files are not even needed for the error."""
    keys = {"conversion_to_onnx_args": ["--model-name=resnet50"], "model_optimizer_args": []}
    write_model(root / "models", "public/resnet", {"x.pth": b"x"}, framework="pytorch", **keys)
    assert convert(root, "--name", "resnet") == 1
    out, err = capsys.readouterr()
    assert out.endswith("FAILED:\nresnet\n")
    assert "another network (--model-name=resnet50)" in err
    assert "framework onnx" in err
