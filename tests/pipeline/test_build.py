"""Build: every promised file, nothing twice, and only what changed is made again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import openvino
import pytest

from tests.support.building import (
    ENTRIES,
    NAME,
    PROMISED,
    ROOT,
    SAME_BYTES,
    build_as_planned,
    command,
    contents,
    ran,
    snapshot,
)
from tests.support.weights import save_checkpoint
from toolchain.catalog.arguments import export_settings
from toolchain.catalog.records import Limit, Limits
from toolchain.pipeline.build import BuildResult
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights


def test_every_promised_file_is_made(built: BuildResult) -> None:
    """All stages ran in order; every listed file exists and can be read."""
    folder = built.request.output / "public" / NAME
    assert ran(built) == ENTRIES
    listed = [str(path) for outcome in built.outcomes for path in outcome.files]
    assert listed == [str(folder / name) for name in PROMISED]
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        *(name for name in PROMISED if "/" not in name),
        "FP32",
        "FP16",
        "checkpoint.lock.json",
    }
    core = openvino.Core()
    for precision in ("FP32", "FP16"):
        model = core.read_model(folder / precision / f"{NAME}.xml")
        names = [port.get_any_name() for port in (*model.inputs, *model.outputs)]
        assert names == ["src", "bgr", "pha", "fgr"]
    verdict = json.loads((folder / "validation.json").read_text())
    assert verdict["verdict"] == "pass"
    assert verdict == built.verdict
    assert set(verdict["files"]) == set(SAME_BYTES)


def test_a_second_build_writes_nothing(copy: BuildRequest) -> None:
    """With nothing changed no stage runs, and no file is touched."""
    before = snapshot(copy.output)
    again = build_as_planned(copy)
    assert not again.anything_ran
    assert again.verdict is not None
    assert again.verdict["verdict"] == "pass"
    assert snapshot(copy.output) == before


def test_a_second_build_loads_nothing_heavy(copy: BuildRequest) -> None:
    """That nothing is to be done is found without PyTorch, OpenVINO and the like."""
    code = (
        "import json, sys; from toolchain.cli.main import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'openvino', 'onnx', 'onnxruntime', 'scipy', 'numpy', 'PIL', 'jinja2'};"
        "heavy = sorted(heavy & set(sys.modules));"
        "print(json.dumps([code, heavy]))"
    )
    arguments = command(copy)[3:]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


@pytest.mark.parametrize(
    ("name", "damage", "entries"),
    [
        (f"FP16/{NAME}.bin", "deleted", ["convert-FP16", "validate", "report"]),
        (f"FP16/{NAME}.bin", "changed", ["convert-FP16", "validate", "report"]),
        (f"{NAME}.onnx", "deleted", ["export", "validate", "report"]),
        ("validation.json", "changed", ["validate", "report"]),
        ("report.html", "deleted", ["report"]),
        ("report.md", "changed", ["report"]),
    ],
)
def test_a_lost_file_is_made_again_and_nothing_else(
    name: str, damage: str, entries: list[str], built: BuildResult, copy: BuildRequest
) -> None:
    """Its own stage runs, and it is validated again; everything else is kept."""
    lost = copy.layout.folder / name
    if damage == "deleted":
        lost.unlink()
    else:
        data = bytearray(lost.read_bytes())
        data[len(data) // 2] ^= 1
        lost.write_bytes(data)
    assert ran(build_as_planned(copy)) == entries
    assert contents(copy.layout.folder) == contents(built.request.layout.folder)


def test_a_lost_checkpoint_is_fetched_again_and_nothing_else(
    built: BuildResult, copy: BuildRequest
) -> None:
    """It has the recorded digest, so all that was made from it is up to date."""
    copy.checkpoint.unlink()
    assert ran(build_as_planned(copy)) == ["download"]
    assert contents(copy.layout.folder) == contents(built.request.layout.folder)


def test_changed_limits_only_validate_again(copy: BuildRequest) -> None:
    """Tolerances are an input of the validation alone."""
    first, *others = copy.model.tolerances
    limits = Limits({**first.limits.by_figure, "pha_max_abs": Limit(1.9e-5)}, "for tests")
    model = replace(copy.model, tolerances=(replace(first, limits=limits), *others))
    assert ran(build_as_planned(replace(copy, model=model))) == ["validate", "report"]


def test_another_size_is_exported_onwards(copy: BuildRequest) -> None:
    """The checkpoint is kept; every later file is made for the new size."""
    settings = replace(export_settings(copy.model), width=256, height=192)
    assert ran(build_as_planned(replace(copy, settings=settings))) == ENTRIES[1:]
    model = openvino.Core().read_model(copy.layout.ir("FP16"))
    assert tuple(model.input("src").shape) == (1, 3, 192, 256)


def test_another_input_format_is_converted_and_validated_again(copy: BuildRequest) -> None:
    """The ONNX is kept; the IRs take bytes and keep the same limits."""
    result = build_as_planned(replace(copy, input_format="u8-nhwc"))
    assert ran(result) == ["convert-FP32", "convert-FP16", "validate", "report"]
    model = openvino.Core().read_model(copy.layout.ir("FP16"))
    assert tuple(model.input("src").shape) == (1, 192, 320, 3)
    assert model.get_rt_info(["matting", "input_layout"]).astype(str) == "NHWC"


def test_precisions_are_made_when_requested(copy: BuildRequest) -> None:
    """Existing ones are kept when another one is added; the verdict is on those requested."""
    shutil.rmtree(copy.layout.folder / "FP16")
    one = build_as_planned(replace(copy, precisions=("FP32",)))
    assert ran(one) == ["validate", "report"]
    assert one.verdict is not None
    assert {run["form"] for run in one.verdict["runs"]} == {"ONNX", "FP32"}
    assert ran(build_as_planned(copy)) == ["convert-FP16", "validate", "report"]


def test_another_checkpoint_makes_everything_again(
    built: BuildResult, copy: BuildRequest, tmp_path: Path
) -> None:
    """No file of the earlier weights is left, and the verdict has the new digest."""
    other = save_checkpoint(tmp_path / "other.pth", seed=5)
    source = replace(copy.model.files[0].sources[0], path=other)  # type: ignore[call-arg, arg-type]
    file = replace(copy.model.files[0], sources=(source,))
    model = replace(copy.model, files=(file,))
    changed = replace(
        copy, model=model, weights=choose_weights(model, "upstream", copy.output), accept=file.name
    )
    copy.checkpoint.unlink()
    result = build_as_planned(changed)
    assert ran(result) == ENTRIES
    old, new = contents(built.request.layout.folder), contents(copy.layout.folder)
    assert not [name for name in SAME_BYTES if old[name] == new[name]]
    assert result.verdict is not None
    assert built.verdict is not None
    digests = [verdict["facts"]["checkpoint_sha384"] for verdict in (result.verdict, built.verdict)]
    assert digests[0] != digests[1]
