"""The ONNX has fixed shapes and computes what the network computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.support.weights import make_frames
from toolchain.catalog.arguments import ExportSettings
from toolchain.checkpoints.load import load_network
from toolchain.definitions.refinement import REFINE_MODE_KEYS, RefineMode
from toolchain.errors import CheckpointError
from toolchain.network.refiner import Selection
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest

FACTS = (("model", "m"), ("checkpoint_sha384", "0" * 96), ("toolchain", "9.9"))
SMALL = ExportSettings(320, 192)


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export(ExportRequest(checkpoint, path, SMALL, FACTS))
    return path


def test_full_size_export_has_the_documented_ports(checkpoint: Path, tmp_path: Path) -> None:
    """1x3x720x1280 float32, no dynamic size, no control flow, at most 21 MB."""
    path = tmp_path / "full.onnx"
    result = export(ExportRequest(checkpoint, path, ExportSettings(1280, 720), FACTS))
    assert result.size == path.stat().st_size <= 21_000_000
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    ports = {
        value.name: (
            value.type.tensor_type.elem_type,
            [dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in (*model.graph.input, *model.graph.output)
    }
    frame, alpha = [1, 3, 720, 1280], [1, 1, 720, 1280]
    single = onnx.TensorProto.FLOAT
    assert list(ports.items()) == [
        ("src", (single, frame)),
        ("bgr", (single, frame)),
        ("pha", (single, alpha)),
        ("fgr", (single, frame)),
    ]
    assert not {node.op_type for node in model.graph.node} & {"If", "Loop", "Scan"}
    assert {node.domain for node in model.graph.node} == {""}
    assert [item.version for item in model.opset_import if item.domain == ""] == [18]


def test_names_and_metadata_are_set_and_independent_of_the_machine(exported: Path) -> None:
    """The file has the facts, but no paths and no stack traces."""
    model = onnx.load(exported)
    assert {item.key: item.value for item in model.metadata_props} == dict(FACTS)
    assert model.producer_name == "background-matting-toolchain"
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert "decoder.conv4/Conv" in names
    data = exported.read_bytes()
    assert b"site-packages" not in data
    assert b"toolchain/network" not in data
    assert b"toolchain/network" not in data
    assert str(Path(__file__).parents[2]).encode() not in data


def test_onnx_runtime_loads_it_without_warnings(exported: Path) -> None:
    """A new process that loads the file at warning level prints nothing."""
    code = (
        "import onnxruntime as o, sys; s = o.SessionOptions(); s.log_severity_level = 2;"
        "o.InferenceSession(sys.argv[1], s, providers=['CPUExecutionProvider'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported)], capture_output=True, text=True, check=True
    )
    # Warnings about the machine, not the file, do not count.
    warnings = [line for line in done.stderr.splitlines() if "device_discovery" not in line]
    assert warnings == []


@pytest.mark.parametrize(
    ("mode", "scale"), [*((mode, 0.25) for mode in REFINE_MODE_KEYS), ("sampling", 0.5)]
)
def test_outputs_equal_the_original_patch_by_patch(
    mode: RefineMode, scale: float, checkpoint: Path, tmp_path: Path
) -> None:
    """The exported graph gives the numbers of the per-patch network in every refine mode."""
    settings = ExportSettings(256, 192, scale, mode, 8_000)
    path = tmp_path / "model.onnx"
    export(ExportRequest(checkpoint, path, settings, FACTS))
    network = load_network(
        checkpoint, backbone_scale=scale, selection=Selection.from_settings(settings)
    )
    src, bgr = make_frames(9, 256, 192)
    with torch.no_grad():
        expected = network(src, bgr)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pha, fgr = session.run(["pha", "fgr"], {"src": src.numpy(), "bgr": bgr.numpy()})
    wrong = np.abs(np.asarray(pha) - expected.pha.numpy())[0, 0]
    differing_patches = (wrong.reshape(48, 4, 64, 4).max((1, 3)) > 2e-5).mean()
    assert differing_patches <= 0.001  # ties of top-k
    assert np.median(np.abs(np.asarray(fgr) - expected.fgr.numpy())) < 1e-6


def test_same_checkpoint_same_bytes_in_another_process_and_folder(
    checkpoint: Path, exported: Path, tmp_path: Path
) -> None:
    """An export in another process and folder gives the same file."""
    code = (
        "import sys; from pathlib import Path;"
        "from toolchain.catalog.arguments import ExportSettings;"
        "from toolchain.stages.export.export import export;"
        "from toolchain.stages.export.request import ExportRequest;"
        "export(ExportRequest(Path(sys.argv[1]), Path(sys.argv[2]), ExportSettings(320, 192),"
        f"{FACTS!r}))"
    )
    other = tmp_path / "elsewhere" / "model.onnx"
    done = subprocess.run(
        [sys.executable, "-c", code, str(checkpoint), str(other)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""
    assert other.read_bytes() == exported.read_bytes()


def test_a_failed_export_keeps_the_existing_file(exported: Path, tmp_path: Path) -> None:
    """An invalid checkpoint does not change an earlier export."""
    path = tmp_path / "model.onnx"
    path.write_bytes(exported.read_bytes())
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError):
        export(ExportRequest(bad, path, SMALL, FACTS))
    assert path.read_bytes() == exported.read_bytes()
    assert {item.name for item in tmp_path.iterdir()} == {"model.onnx", "bad.pth"}
