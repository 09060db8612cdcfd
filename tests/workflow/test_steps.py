"""The workflow that packages: its lines run here as they run there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from toolchain.package.inspection import inspect_package
from toolchain.package.manifest import SIGNATURE

ROOT = Path(__file__).parents[2]
STEPS = ROOT / ".ci" / "steps"
WORKFLOW = ROOT / ".github" / "workflows" / "package.yml"
# A replacement for make: the same targets, with the commands of this environment.
MAKE = """\
#!/bin/sh
set -eu
target=$1; shift
for word in "$@"; do export "$word"; done
[ "$WEIGHTS_ARE" = small ]
case $target in
  convert) {python} -m toolchain build --config "$CONFIG" -o "$OUTPUT" --frames 1 -q ;;
  package) {python} -m toolchain package --config "$CONFIG" -o "$OUTPUT" --to "$DIST" -q ;;
  verify) for b in "$DIST"/*.tar.gz; do {python} -m toolchain verify "$b" --run || exit; done ;;
esac
"""


def lines() -> list[str]:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    return [line for run in runs for line in run.splitlines()]


def test_every_line_is_a_make_target_or_a_plain_comparison() -> None:
    """It builds and validates, packages, verifies and uploads, in this order."""
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    words = [line.split() for line in lines()]
    assert all(
        first == "diff" or (first == "make" and rest[0] in targets) for first, *rest in words
    )
    made = [rest[0] for first, *rest in words if first == "make"]
    assert made == ["convert", "package", "package", "verify"]
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    assert job["steps"][-1]["uses"].startswith("actions/upload-artifact@")


@pytest.mark.skipif(sys.platform == "win32", reason="runs sh")
def test_the_lines_make_a_package_that_verifies(reported: Path, tmp_path: Path) -> None:
    """Run one by one on a small model: one archive, the same a second time, and whole."""
    place = reported.parents[2]
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "make").write_text(MAKE.replace("{python}", sys.executable))
    (tools / "make").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "WEIGHTS_ARE": "small",
        "CONFIG": str(place / "model.yml"),
        "OUTPUT": str(place / "out"),
        "DIST": str(tmp_path / "dist"),
        "AGAIN": str(tmp_path / "again"),
    }
    done = subprocess.run(
        [sys.executable, STEPS, WORKFLOW],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[2:] for line in done.stdout.splitlines() if line.startswith("$ ")] == lines()
    (archive,) = (tmp_path / "dist").iterdir()
    assert inspect_package(archive).intact
    assert archive.read_bytes() == (tmp_path / "again" / archive.name).read_bytes()
    assert SIGNATURE not in {path.name for path in (tmp_path / "dist").iterdir()}


def test_the_first_line_that_fails_ends_it(tmp_path: Path) -> None:
    """With its exit code; no later line is run."""
    path = tmp_path / "w.yml"
    steps = [{"run": "echo one\n(exit 7)\necho two"}, {"uses": "a@v1"}, {"run": "echo three"}]
    path.write_text(yaml.safe_dump({"jobs": {"j": {"steps": steps}}}))
    done = subprocess.run(
        [sys.executable, STEPS, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7
    assert "one\n" in done.stdout
    assert "two\n" not in done.stdout.replace("$ echo two", "")
    assert "three" not in done.stdout
