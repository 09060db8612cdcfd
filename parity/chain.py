"""The whole chain, download to report, on the oldest OpenVINO we support and on this one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from parity.environment import Tools, older_openvino
from parity.findings import Finding

VERSION = "import openvino; print(openvino.__version__.partition('-')[0])"


def check(tools: Tools, folder: Path, older: Path) -> Iterator[Finding]:
    """`matting build` with the bundled weights; `older`: where the other environment lies."""
    for python in (older_openvino(older), Path(sys.executable)):
        version = tools.run([str(python), "-c", VERSION]).out.strip()
        output = folder / version
        words = ("build", "--weights", "bundled", "--frames", "1", "--quiet", "--output")
        ran = tools.run([str(python), "-m", "toolchain", *words, str(output)])
        verdicts = [json.loads(path.read_text("utf-8")) for path in output.rglob("validation.json")]
        verdict = verdicts[0]["verdict"] if verdicts else "no verdict"
        good = ran.code == 0 and verdict == "pass"
        said = f"exit {ran.code}, {verdict}" + ("" if good else f": {ran.err.strip()[:400]}")
        yield Finding("chain", f"matting build on OpenVINO {version}", "", said, good)
