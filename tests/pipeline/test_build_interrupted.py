"""Builds that are killed, or run at the same time: no partial file, the same bytes each time."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.building import (
    ENTRIES,
    NAME,
    ROOT,
    build_as_planned,
    command,
    contents,
    small_request,
)
from toolchain.pipeline.build import BuildResult
from toolchain.pipeline.request import BuildRequest

MOMENTS = (
    ("message", ""),
    ("message", "export:"),
    ("before", f"{NAME}.onnx"),
    ("before", f"FP32/{NAME}.bin"),
    ("after", f"FP16/{NAME}.bin"),
    ("message", "convert-FP16:"),
    ("before", "validation.json"),
)
# Stops before or after the rename that publishes a file, and reports it.
STOPPING = """
import os, sys, time
from toolchain.cli.main import main
from toolchain.workspace import atomic
when, name, real = sys.argv[1], sys.argv[2].replace("/", os.sep), atomic.publish
def stop():
    print("stopped", file=sys.stderr, flush=True)
    time.sleep(600)
def publish(finished, target):
    if when == "before" and str(target).endswith(name):
        stop()
    real(finished, target)
    if when == "after" and str(target).endswith(name):
        stop()
atomic.publish = publish
sys.exit(main(sys.argv[3:]))
"""


def test_a_kill_leaves_no_half_file_and_the_next_run_finishes(
    built: BuildResult, config: Path, tmp_path: Path
) -> None:
    """Killed in every stage, also between the files of an IR, a build ends with the same bytes."""
    request = small_request(config, tmp_path / "out")
    folder, good = request.layout.folder, contents(built.request.layout.folder)
    chance = random.Random(7)
    for moment in MOMENTS:
        with subprocess.Popen(
            [sys.executable, "-c", STOPPING, *moment, *command(request)[3:]],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            _wait_for(moment, process, chance)
            process.kill()
        for name, data in contents(folder).items():
            assert data == good[name], f"{name} after a kill {moment}"
        assert not (folder / "validation.json").exists()
    done = subprocess.run(
        command(request), cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert contents(folder) == good
    assert json.loads((folder / "validation.json").read_text())["verdict"] == "pass"
    assert not list(folder.rglob(".*.part-write"))


def _wait_for(
    moment: tuple[str, str], process: subprocess.Popen[str], chance: random.Random
) -> None:
    """Wait until the process has stopped, or for some time after a line of its output."""
    when, text = moment
    awaited = text if when == "message" else "stopped"
    assert process.stderr is not None
    while awaited and not (line := process.stderr.readline()).startswith(awaited):
        assert line, f"ended before {moment}"
    if when == "message":
        time.sleep(chance.uniform(0, 0.5))


def test_two_builds_in_one_folder_both_end_well(
    built: BuildResult, config: Path, tmp_path: Path
) -> None:
    """The second waits for the first and finds its results up to date; the bytes are the same."""
    request = small_request(config, tmp_path / "out")
    both = [
        subprocess.Popen(
            command(request), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ends = [(*process.communicate(timeout=300), process.returncode) for process in both]
    assert [code for _, _, code in ends] == [0, 0], ends
    assert sorted(out.count("up to date") for out, _, _ in ends) == [0, len(ENTRIES)]
    assert contents(request.layout.folder) == contents(built.request.layout.folder)
    waited = "locked by another build"
    assert [waited in err for _, err, _ in ends].count(True) == 1


def test_the_output_folder_may_be_relative(
    copy: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path and the absolute path of the same folder mean the same build."""
    monkeypatch.chdir(copy.output.parent)
    assert not build_as_planned(replace(copy, output=Path(os.curdir, "out"))).anything_ran
