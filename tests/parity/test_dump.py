"""The real tools and ours on the collection of Open Model Zoo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parity import dump
from parity.environment import Tools, get_python, prepare_omz
from parity.findings import find_faults

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """The real tools, if `make parity` has created their environment."""
    folder = ROOT / ".venv-omz"
    if not (folder / ".ready").is_file():
        pytest.skip("no .venv-omz: `make parity` creates it (Python 3.10 to 3.12)")
    python = prepare_omz(folder)
    assert python == get_python(folder)
    return Tools(python, tmp_path_factory.mktemp("home"))


def test_the_whole_collection_has_the_same_descriptions(tools: Tools, tmp_path: Path) -> None:
    """All 264 model.yml files give the same JSON, whole or chosen."""
    findings = list(dump.check(tools, tmp_path))
    assert find_faults(findings, frozenset()) == []
    assert ("264", "264") in {(f.omz, f.ours) for f in findings}
    assert list(tools.home.rglob("*")) == []


def test_models_of_other_frameworks_are_refused(tools: Tools, tmp_path: Path) -> None:
    """Without downloads, each onnx model reports its missing file; the others are not supported."""
    root = tools.collection
    ran = tools.ours(root, "omz_converter", "--all", "-d", tmp_path, "--precisions", "FP16")
    assert ran.code == 1
    assert "Traceback" not in ran.err
    failed = ran.out.partition("FAILED:\n")[2].split()
    info = json.loads(tools.ours(root, "omz_info_dumper", "--all").out)
    frameworks = {entry["name"]: entry["framework"] for entry in info}
    counts = {kind: [frameworks[n] for n in failed].count(kind) for kind in ("pytorch", "tf")}
    assert counts == {kind: list(frameworks.values()).count(kind) for kind in ("pytorch", "tf")}
    assert ran.err.count("whose code is not included") == counts["pytorch"]
    assert ran.err.count("framework tf is not supported") == counts["tf"]
    assert not list(tmp_path.rglob("*.xml"))
