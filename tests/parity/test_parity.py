"""What `make parity` concludes, and as much of it as is quick where the real tools are there."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from parity import chain, dump
from parity.environment import Ran, Tools, incumbent, python_of
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


@dataclass(frozen=True)
class Scripted(Tools):
    """Commands that end with 0 and leave good results, but for the `spoiled` one."""

    spoiled: str = ""
    how: str = ""

    def run(self, command: Sequence[str], *, theirs: bool = False) -> Ran:
        if "-c" in command:
            return Ran(0, "2026.0.0\n" if command[0] == sys.executable else "2024.6.0\n", "")
        what, place = command[3], Path(command[command.index("--output") + 1])
        how = self.how if what == self.spoiled else ""
        if how == "leaves nothing":
            return Ran(0, "", "")
        assert not place.suffix  # a name with a dot is no folder to `matting run`
        place.mkdir(parents=True, exist_ok=True)
        if what == "build":
            self.write(place / "validation.json", {"verdict": "fail" if how == "fail" else "pass"})
        elif what == "evaluate":
            total = {"alpha_mad": {"mean": math.nan if how == "NaN" else 8.1, "low": 1.0}}
            models = [{"model": name, "frames": 2, "total": total} for name in chain.MODELS]
            left = models[1:] if how == "one model" else models
            self.write(place / "evaluation.json", {"models": left})
        else:
            for number in range(1 if how == "one frame" else 2):
                picture = Image.new("RGBA", (160, 96) if how == "small" else chain.SIZE)
                if how != "one tone":
                    picture.paste("white", (10, 10, 50, 50))
                picture.save(place / f"{number}.png")
        if how == "fails":
            return Ran(1, "", "Traceback\n" + "  a line\n" * 200 + "ImportError: no opset13")
        return Ran(0, "", "")

    @staticmethod
    def write(path: Path, content: object) -> None:
        path.write_text(json.dumps(content), "utf-8")


def rows_of(tools: Scripted) -> list[Finding]:
    """What the chain finds with them; the older environment is there already."""
    older = tools.home / "older"
    older.mkdir()
    (older / ".ready").touch()
    return list(chain.check(tools, tools.home, older))


def test_each_command_of_the_chain_has_a_row_on_each_openvino(tmp_path: Path) -> None:
    """Building, evaluating and running, on the oldest release and then on this one."""
    good = rows_of(Scripted(Path(), tmp_path))
    commands = ("matting build", "matting evaluate", "matting run")
    versions = ("2024.6.0", "2026.0.0")
    assert [finding.what for finding in good] == [
        f"{command} on OpenVINO {version}" for version in versions for command in commands
    ]
    assert faults(good, frozenset()) == []


@pytest.mark.parametrize(
    ("spoiled", "how", "said"),
    [
        ("build", "fails", "exit 1, pass: .*ImportError: no opset13"),
        ("build", "fail", "exit 0, fail"),
        ("build", "leaves nothing", "exit 0, no verdict"),
        ("evaluate", "fails", "exit 1, 2 of 2 frames: .*ImportError: no opset13"),
        ("evaluate", "leaves nothing", "exit 0, no metrics"),
        ("evaluate", "one model", "exit 0, 0 of 2 frames"),
        ("evaluate", "NaN", "exit 0, 2 of 2 frames, not finite"),
        ("run", "fails", "exit 1, 2 of 2 mattes: .*ImportError: no opset13"),
        ("run", "leaves nothing", "exit 0, 0 of 2 mattes"),
        ("run", "one frame", "exit 0, 1 of 2 mattes"),
        ("run", "one tone", "exit 0, 0 of 2 mattes"),
        ("run", "small", "exit 0, 0 of 2 mattes"),
    ],
)
def test_a_command_of_the_chain_that_fails_or_leaves_too_little_is_a_fault(
    tmp_path: Path, spoiled: str, how: str, said: str
) -> None:
    """It says how, on each OpenVINO, with the end of what was said; the other rows stay good."""
    wrong = [row for row in rows_of(Scripted(Path(), tmp_path, spoiled, how)) if not row.same]
    assert [row.what.split()[1] for row in wrong] == [spoiled, spoiled]
    assert all(re.match(said, row.here, re.DOTALL) for row in wrong)
    assert len(faults(wrong, frozenset())) == 2


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
