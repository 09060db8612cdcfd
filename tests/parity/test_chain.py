"""The chain of commands on two releases of OpenVINO."""

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

from parity import chain
from parity.environment import Completed, Tools
from parity.findings import Finding, find_faults


@dataclass(frozen=True)
class FakeTools(Tools):
    """Commands that succeed with good results, except one.

    Attributes:
        failing: The exception.
        fault: How it fails.
    """

    failing: str = ""
    fault: str = ""

    def run(self, command: Sequence[str], *, omz: bool = False) -> Completed:
        if "-c" in command:
            return Completed(0, "2026.0.0\n" if command[0] == sys.executable else "2024.6.0\n", "")
        command_name, place = command[3], Path(command[command.index("--output") + 1])
        fault = self.fault if command_name == self.failing else ""
        if fault == "no result":
            return Completed(0, "", "")
        assert not place.suffix  # `matting run` takes a name with a dot for a file
        place.mkdir(parents=True, exist_ok=True)
        if command_name == "build":
            self.write(
                place / "validation.json", {"verdict": "fail" if fault == "fail" else "pass"}
            )
        elif command_name == "evaluate":
            total = {"alpha_mad": {"mean": math.nan if fault == "NaN" else 8.1, "low": 1.0}}
            models = [{"form": name, "frames": 2, "total": total} for name in chain.MODELS]
            left = models[1:] if fault == "one model" else models
            self.write(place / "evaluation.json", {"models": left})
        else:
            for number in range(1 if fault == "one frame" else 2):
                picture = Image.new("RGBA", (160, 96) if fault == "small" else chain.SIZE)
                if fault != "one tone":
                    picture.paste("white", (10, 10, 50, 50))
                picture.save(place / f"{number}.png")
        if fault == "fails":
            return Completed(1, "", "Traceback\n" + "  a line\n" * 200 + "ImportError: no opset13")
        return Completed(0, "", "")

    @staticmethod
    def write(path: Path, content: object) -> None:
        path.write_text(json.dumps(content), "utf-8")


def check(tools: FakeTools) -> list[Finding]:
    """The findings of the chain; the older environment exists already."""
    older = tools.home / "older"
    older.mkdir()
    (older / ".ready").touch()
    return list(chain.check(tools, tools.home, older))


def test_each_command_is_run_on_each_openvino(tmp_path: Path) -> None:
    """Build, evaluation and run, on the oldest release and then on the installed one."""
    good = check(FakeTools(Path(), tmp_path))
    commands = ("matting build", "matting evaluate", "matting run")
    versions = ("2024.6.0", "2026.0.0")
    assert [finding.what for finding in good] == [
        f"{command} on OpenVINO {version}" for version in versions for command in commands
    ]
    assert find_faults(good, frozenset()) == []


@pytest.mark.parametrize(
    ("failing", "fault", "summary"),
    [
        ("build", "fails", "exit 1, pass: .*ImportError: no opset13"),
        ("build", "fail", "exit 0, fail"),
        ("build", "no result", "exit 0, no verdict"),
        ("evaluate", "fails", "exit 1, 2 of 2 frames: .*ImportError: no opset13"),
        ("evaluate", "no result", "exit 0, no metrics"),
        ("evaluate", "one model", "exit 0, 0 of 2 frames"),
        ("evaluate", "NaN", "exit 0, 2 of 2 frames, not finite"),
        ("run", "fails", "exit 1, 2 of 2 mattes: .*ImportError: no opset13"),
        ("run", "no result", "exit 0, 0 of 2 mattes"),
        ("run", "one frame", "exit 0, 1 of 2 mattes"),
        ("run", "one tone", "exit 0, 0 of 2 mattes"),
        ("run", "small", "exit 0, 0 of 2 mattes"),
    ],
)
def test_a_command_with_a_failure_or_a_wrong_result_is_a_fault(
    tmp_path: Path, failing: str, fault: str, summary: str
) -> None:
    """On each OpenVINO, with the end of stderr; the other findings stay good."""
    wrong = [row for row in check(FakeTools(Path(), tmp_path, failing, fault)) if not row.same]
    assert [row.what.split()[1] for row in wrong] == [failing, failing]
    assert all(re.match(summary, row.ours, re.DOTALL) for row in wrong)
    assert len(find_faults(wrong, frozenset())) == 2
