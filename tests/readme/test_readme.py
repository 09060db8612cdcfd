"""The README is true: its commands parse and run, its snippets give mattes, its links lead on."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import openvino
import pytest
import yaml
from PIL import Image

from toolchain.cli import main as matting
from toolchain.frames.generated import composite
from toolchain.omz import converter as omz_converter
from toolchain.omz import downloader as omz_downloader
from toolchain.omz import info_dumper as omz_info_dumper
from toolchain.omz import quantizer as omz_quantizer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAME = "background-matting-mobilenetv2"
SCRIPTS = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_understood(words: list[str]) -> None:
    """Each command of the README is a make target or parses with its own parser."""
    program, *arguments = words
    if program == "make":
        assert arguments[0] in targets()
        assert all(re.match(r"(WEIGHTS|OUTPUT|ARGS)=", item) for item in arguments[1:])
        return
    modules = {
        "matting": matting,
        "omz_converter": omz_converter,
        "omz_downloader": omz_downloader,
        "omz_quantizer": omz_quantizer,
        "omz_info_dumper": omz_info_dumper,
    }
    modules[program].create_parser().parse_args(arguments)


def test_make_help_explains_every_target() -> None:
    """The targets that the README and the issue promise are listed with a sentence each."""
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("setup", "convert", "test", "lint", "bench", "clean"):
        assert re.search(rf"^  {target} +\w+", said.stdout, re.MULTILINE)
        assert target in targets()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make convert WEIGHTS=bundled` makes, at full size."""
    folder = tmp_path_factory.mktemp("built")
    done = subprocess.run(
        [SCRIPTS / "matting", "build", "--weights", "bundled", "--frames", "2", "--quiet"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Weights: bundled" in done.stdout
    return folder


@pytest.fixture(scope="module")
def pictures(built: Path) -> tuple[np.ndarray, np.ndarray]:
    frame = composite(2026, 1280, 720)
    Image.fromarray(frame.src).save(built / "frame.png")
    Image.fromarray(frame.bgr).save(built / "plate.png")
    return frame.src, frame.bgr


def test_the_promised_files_come_out(built: Path) -> None:
    """Every file of the table is there, and the verdict in validation.json is pass."""
    name = f"{NAME}-bundled"
    folder = built / "build" / "public" / name
    for relative in (
        f"{name}.onnx",
        f"FP32/{name}.xml",
        f"FP32/{name}.bin",
        f"FP16/{name}.xml",
        f"FP16/{name}.bin",
    ):
        assert (folder / relative).is_file()
    verdict = json.loads((folder / "validation.json").read_text())
    assert verdict["verdict"] == "pass"
    assert verdict["facts"]["weights"] == "bundled"
    assert 500_000 < (folder / "report.html").stat().st_size < 15_000_000
    assert (folder / "report.md").read_text(encoding="utf-8").startswith("# \u2705 PASS")


def test_the_port_table_is_true(built: Path) -> None:
    """Names, shapes and types of the IR are those of the table."""
    rows = re.findall(r"^\| `(\w+)` \| ([0-9x]+) \| (f32), NCHW \|", README, re.MULTILINE)
    xml = built / "build" / "public" / f"{NAME}-bundled" / "FP16" / f"{NAME}-bundled.xml"
    model = openvino.Core().read_model(xml)
    found = [
        (
            port.get_any_name(),
            "x".join(map(str, port.shape)),
            port.get_element_type().get_type_name(),
        )
        for port in (*model.inputs, *model.outputs)
    ]
    assert rows == found


@pytest.mark.usefixtures("pictures")
def test_the_python_snippet_cuts_a_figure_out(built: Path) -> None:
    """Run unchanged on the bundled model, it writes an image with a matte."""
    code = blocks("python")[0]
    code = code.replace(f'"{NAME}"', f'"{NAME}-bundled"')
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=built, check=True)
    cutout = Image.open(built / "cutout.png")
    assert (cutout.mode, cutout.size) == ("RGBA", (1280, 720))
    alpha = np.asarray(cutout)[..., 3] / 255
    truth = composite(2026, 1280, 720).alpha
    assert truth is not None
    assert np.abs(alpha - truth).mean() < 0.5 * min(truth.mean(), 1 - truth.mean())


@pytest.mark.usefixtures("pictures")
def test_the_short_python_snippet_does_the_same(built: Path) -> None:
    """By `toolchain.Matting` a figure is cut out and put before green, and a stream goes on."""
    code = blocks("python")[1].replace(f'/{NAME}"', f'/{NAME}-bundled"')
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=built, check=True, capture_output=True, text=True)
    assert len(done.stdout.split()) == 3
    with Image.open(built / "cutout.png") as picture:
        cutout = np.asarray(picture)
    truth = composite(2026, 1280, 720).alpha
    assert truth is not None
    assert np.abs(cutout[..., 3] / 255 - truth).mean() < 0.5 * min(truth.mean(), 1 - truth.mean())
    with Image.open(built / "green.png") as picture:
        green = np.asarray(picture)
    assert np.abs(green[cutout[..., 3] == 0].astype(int) - (0, 177, 64)).max() <= 1


def test_the_c_plus_plus_snippet_gives_what_python_gives(
    built: Path, pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """Compiled against the installed OpenVINO, it computes the same matte bit for bit."""
    package = Path(openvino.__file__).parent
    libraries = sorted((package / "libs").glob("libopenvino.so.*"))
    compiler = shutil.which("g++")
    if compiler is None or not libraries or not (package / "include").is_dir():
        pytest.skip("no C++ compiler, or an OpenVINO without headers")
    (snippet,) = blocks("cpp")
    main = """
#include <cstdio>
#include <vector>
int main(int, char** argv) {
    const size_t n = 720 * 1280;
    std::vector<float> frame(3 * n), plate(3 * n), alpha(n), foreground(3 * n);
    FILE* in = std::fopen(argv[2], "rb");
    if (!in || std::fread(frame.data(), 4, 3 * n, in) != 3 * n) return 1;
    if (std::fread(plate.data(), 4, 3 * n, in) != 3 * n) return 1;
    matte(argv[1], frame.data(), plate.data(), alpha.data(), foreground.data());
    FILE* out = std::fopen(argv[3], "wb");
    std::fwrite(alpha.data(), 4, n, out);
    std::fwrite(foreground.data(), 4, 3 * n, out);
    return std::fclose(out);
}
"""
    source, program = tmp_path / "snippet.cpp", tmp_path / "snippet"
    source.write_text(snippet + main)
    subprocess.run(
        [
            compiler,
            "-std=c++17",
            "-Wall",
            "-Werror",
            source,
            "-I",
            package / "include",
            libraries[0],
            f"-Wl,-rpath,{package / 'libs'}",
            "-o",
            program,
        ],
        check=True,
    )
    feed = [
        np.ascontiguousarray(picture[None, :, :, ::-1].transpose(0, 3, 1, 2), np.float32)
        for picture in pictures
    ]
    (tmp_path / "in.raw").write_bytes(b"".join(item.tobytes() for item in feed))
    xml = built / "build" / "public" / f"{NAME}-bundled" / "FP32" / f"{NAME}-bundled.xml"
    subprocess.run([program, xml, tmp_path / "in.raw", tmp_path / "out.raw"], check=True)
    found = np.fromfile(tmp_path / "out.raw", np.float32)
    outputs = openvino.compile_model(xml, "CPU")({"src": feed[0], "bgr": feed[1]})
    expected = np.concatenate([np.array(outputs[key]).ravel() for key in ("pha", "fgr")])
    assert np.array_equal(found, expected)


def test_every_local_link_leads_somewhere() -> None:
    """No page of the project links to a missing file."""
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    for page in (*pages, *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page}: {link}"


def test_the_migration_page_names_commands_that_work() -> None:
    """Each omz command in its table, old or new, parses here with its own parser."""
    text = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    words = [item.split() for row in rows for item in re.findall(r"`(omz_\w+ [^`]+)`", row)]
    assert len(words) > 8
    for program, *arguments in words:
        module = import_module(f"toolchain.omz.{program.removeprefix('omz_')}")
        chosen = {"--name", "--all"} & set(arguments)
        module.create_parser().parse_args(arguments if chosen else [*arguments, "--all"])


def test_the_ci_recipe_is_a_workflow() -> None:
    """The recipe parses and runs make targets that are there."""
    (recipe,) = blocks("yaml")
    steps = yaml.safe_load(recipe)["jobs"]["convert"]["steps"]
    runs = [step["run"].split() for step in steps if "run" in step]
    assert all(words[0] == "make" and words[1] in targets() for words in runs)


def test_contributing_names_every_part_of_the_house() -> None:
    """The table of parts lists exactly the packages that are there."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE))
    parts = {path.parent.name for path in (ROOT / "toolchain").glob("*/__init__.py")}
    assert named == parts
