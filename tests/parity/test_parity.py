"""What `make parity` concludes, and as much of it as is quick where the real tools are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parity import dump
from parity.environment import Tools, incumbent, python_of
from parity.findings import PAGE, Finding, admitted, faults, table, verdict

ROOT = Path(__file__).parents[2]
SAME = Finding("flags", "flags", "14", "14", same=True)
OTHER = Finding("convert.half", "FP16", "rounded", "kept", same=False)


def test_a_difference_that_is_not_listed_is_a_fault() -> None:
    """Its key and both values are told; once the page has the key, all is well."""
    (said,) = faults([SAME, OTHER], frozenset())
    assert "convert.half" in said
    assert "'rounded' there, 'kept' here" in said
    assert verdict(OTHER, frozenset()) == "DIFFERS (convert.half)"
    assert faults([SAME, OTHER], frozenset({"convert.half"})) == []
    assert verdict(OTHER, frozenset({"convert.half"})) == "listed"


def test_a_row_that_is_no_longer_true_is_a_fault() -> None:
    """After a whole run only: a part of the checks can't know."""
    listed = frozenset({"convert.half", "gone"})
    (said,) = faults([SAME, OTHER], listed)
    assert "gone" in said
    assert faults([SAME, OTHER], listed, whole=False) == []


def test_the_page_is_what_the_check_reads(tmp_path: Path) -> None:
    """Keys come from the first column of tables, and the project's own page has some."""
    page = tmp_path / "page.md"
    page.write_text("| key | x |\n|---|---|\n| `a.b-c` | `d` |\ntext `e`\n", encoding="utf-8")
    assert admitted(page) == {"a.b-c"}
    assert "convert.half" in admitted(PAGE)


def test_long_cells_are_cut_to_one_line() -> None:
    """Each finding is one line of the table, whatever it holds."""
    long = Finding("k", "what\nit is " * 20, "x" * 300, "y", same=False)
    assert len(table([SAME, long], frozenset()).splitlines()) == 3


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """The real tools, where `make parity` has made their environment."""
    folder = ROOT / ".venv-omz"
    if not (folder / ".ready").is_file():
        pytest.skip("no .venv-omz: `make parity` makes it (Python 3.10 to 3.12)")
    python = incumbent(folder)
    assert python == python_of(folder)
    return Tools(python, tmp_path_factory.mktemp("home"))


def test_the_whole_collection_gives_the_same_information(tools: Tools, tmp_path: Path) -> None:
    """All 264 model.yml files: the same JSON, entry by entry, whole or chosen."""
    findings = list(dump.check(tools, tmp_path))
    assert faults(findings, frozenset()) == []
    assert ("264", "264") in {(f.incumbent, f.here) for f in findings}
    assert list(tools.home.rglob("*")) == []


def test_no_framework_of_the_collection_is_converted_by_half(tools: Tools, tmp_path: Path) -> None:
    """Without downloads, every onnx model asks for them; the others say what is missing."""
    root = tools.collection
    ran = tools.ours(root, "omz_converter", "--all", "-d", tmp_path, "--precisions", "FP16")
    assert ran.code == 1
    assert "Traceback" not in ran.err
    failed = ran.out.partition("FAILED:\n")[2].split()
    info = json.loads(tools.ours(root, "omz_info_dumper", "--all").out)
    frameworks = {entry["name"]: entry["framework"] for entry in info}
    counts = {kind: [frameworks[n] for n in failed].count(kind) for kind in ("pytorch", "tf")}
    assert counts == {kind: list(frameworks.values()).count(kind) for kind in ("pytorch", "tf")}
    assert ran.err.count("the code of that is missing here") == counts["pytorch"]
    assert ran.err.count("what reads that is missing here") == counts["tf"]
    assert not list(tmp_path.rglob("*.xml"))
