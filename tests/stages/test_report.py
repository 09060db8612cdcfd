"""Report: one self-contained file, reproducible, of validated files only."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.browser import decoded
from tests.support.records import evaluation, failed, latency
from toolchain.errors import ReportError
from toolchain.frames.generated import composite
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.stages.report.report import report
from toolchain.stages.report.request import ReportRequest, ReportResult

NAME = "small-matting"
RUNS = ("onnx-f32", "fp32-f32", "fp32-default", "fp16-f32", "fp16-default")


def request_of(folder: Path, target: Path, **changes: Any) -> ReportRequest:
    return replace(
        ReportRequest(
            checkpoint=folder / "pytorch_mobilenetv2.pth",
            onnx=folder / f"{NAME}.onnx",
            irs=tuple((form, folder / form / f"{NAME}.xml") for form in ("FP32", "FP16")),
            validation=folder / "validation.json",
            html=target / "report.html",
            markdown=target / "report.md",
            composites=1,
        ),
        **changes,
    )


@pytest.fixture(scope="module")
def made(validated: Path, tmp_path_factory: pytest.TempPathFactory) -> ReportResult:
    """The report of a passing build on one frame."""
    return report(request_of(validated, tmp_path_factory.mktemp("made")))


@pytest.fixture
def copy(validated: Path, tmp_path: Path) -> Path:
    """The same build in a folder of this test's own."""
    return Path(shutil.copytree(validated, tmp_path / "build"))


class Elements(HTMLParser):
    """Every element with its attributes, and the text of styles and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.inside: dict[str, list[str]] = {"style": [], "script": []}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open in self.inside and data.strip():
            self.inside[self._open].append(data)


def test_the_page_is_self_contained(made: ReportResult) -> None:
    """Every URL is an embedded image or an anchor; no inline styles, no handlers."""
    elements = Elements(made.html.read_text(encoding="utf-8"))
    for tag, attributes in elements.found:
        for name, value in attributes.items():
            assert name != "style", tag
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "data", "action", "poster", "srcset"):
                assert re.match(r"data:(image/(png|webp);base64,|,$)|#\w+", value), (
                    tag,
                    value[:60],
                )
    assert not re.search(r"@import|url\((?!#)", elements.inside["style"][0])


def test_its_policy_allows_only_its_own_style_and_script(made: ReportResult) -> None:
    """The digests in the policy are those of the embedded texts."""
    elements = Elements(made.html.read_text(encoding="utf-8"))
    (policy,) = (
        attributes["content"]
        for tag, attributes in elements.found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    _data, script = elements.inside["script"]
    digests = [
        "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (elements.inside["style"][0], script)
    ]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src '{digests[0]}'; "
        f"script-src '{digests[1]}'; base-uri 'none'; form-action 'none'"
    )


def test_same_inputs_give_the_same_bytes_and_no_path(
    made: ReportResult, validated: Path, tmp_path: Path
) -> None:
    """Folder and time have no influence, and no path is in the page."""
    again = report(request_of(validated, tmp_path))
    for one, other in ((made.html, again.html), (made.markdown, again.markdown)):
        assert one.read_bytes() == other.read_bytes()
        assert str(validated.parents[3]) not in other.read_text(encoding="utf-8")


def test_the_mattes_are_those_of_the_models(made: ReportResult, validated: Path) -> None:
    """Each embedded alpha equals the model's output for the frame in every pixel."""
    pictures = {
        attributes["data-image"]: attributes["src"]
        for _, attributes in Elements(made.html.read_text(encoding="utf-8")).found
        if "data-image" in attributes
    }
    assert set(pictures) == {"alpha-truth"} | {
        f"{kind}-{run}" for kind in ("alpha", "cutout") for run in ("original", *RUNS)
    }
    frame = composite(2026, 320, 192)
    for form in ("FP32", "FP16"):
        runtime = OpenVinoRuntime(validated / form / f"{NAME}.xml", "f32")
        expected = np.rint(runtime.infer(frame.src, frame.bgr).pha * 255)
        for kind, mode in (("alpha", "L"), ("cutout", "RGBA")):
            found = decoded(pictures[f"{kind}-{form.lower()}-f32"], mode)
            assert np.array_equal(found if kind == "alpha" else found[..., 3], expected)
    assert np.array_equal(decoded(pictures["alpha-truth"], "L"), np.rint(frame.alpha * 255))


def test_markdown_has_the_same_content(made: ReportResult) -> None:
    """It starts with the verdict and contains every cell of every table."""
    text = made.markdown.read_text(encoding="utf-8")
    assert text.startswith(f"# \u2705 PASS: {NAME}\n")
    plain = re.sub(r"\\(.)", r"\1", text)
    page = made.html.read_text(encoding="utf-8")
    cells = re.findall(r'<th scope="row">(.*?)</th>|<td class="[^"]*">([^<]+)', page)
    assert len(cells) > 60
    for cell in cells:
        assert "".join(cell).strip() in plain


def test_a_fail_is_reported_with_all_findings(copy: Path, tmp_path: Path) -> None:
    """Failures, explanations, stages, limits that would have passed, evaluation, latency."""
    verdict = json.loads((copy / "validation.json").read_text())
    records = {"validation": failed(verdict), "evaluation": evaluation(verdict)}
    for name, record in {**records, "latency": latency()}.items():
        (copy / f"{name}.json").write_text(json.dumps(record))
    result = report(
        request_of(
            copy,
            tmp_path,
            evaluation=copy / "evaluation.json",
            latency=copy / "latency.json",
        )
    )
    assert result.verdict == "fail"
    plain = re.sub(r"\\(.)", r"\1", result.markdown.read_text(encoding="utf-8"))
    assert plain.startswith("# \u274c FAIL")
    for expected in (
        "1 of 5 variants of the converted model differs",
        "pha_max_abs is 0.00125, the limit is 2e-05",
        "| swapped channels | with RGB for BGR the outputs agree to 1e-6 | alpha, max dif",
        "| 9.50e-07 | **explains it** |",
        "| missing /255 | ruled out without a run | alpha, max difference | 1.25e-03 | ",
        "is off by 7.5e-06 from the network in float64",
        "**NaN or infinite**",
        "| 2.5e-06 (3.0e-07) |",
        "Would have passed",
        "here, on the built-in set: 16 frames",
        "2.000 (1.80\u20132.20)",
        "alpha SAD, /1000",
        "| FP16 | CPU | device default | bf16 | 84.2 | 91.5 | 11.9 |",
    ):
        assert expected in plain
    page = result.html.read_text(encoding="utf-8")
    assert "<script>alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert '"chosen": "fp32-f32"' in page


def test_an_evaluation_of_other_weights_is_left_out_with_a_note(copy: Path, tmp_path: Path) -> None:
    """Figures of another checkpoint are never shown as this one's."""
    verdict = json.loads((copy / "validation.json").read_text())
    record = evaluation(verdict)
    record["facts"] = {**verdict["facts"], "checkpoint_sha384": "0" * 96}
    (copy / "evaluation.json").write_text(json.dumps(record))
    request = request_of(copy, tmp_path, evaluation=copy / "evaluation.json")
    text = report(request).markdown.read_text(encoding="utf-8")
    assert "evaluation.json was made with another checkpoint and was left out" in text
    assert "built-in set" not in text


def test_captures_are_shown_a_few_at_most(validated: Path, tmp_path: Path) -> None:
    """They have the model's size and no ground truth; a note counts the others."""
    random = np.random.default_rng(4)
    captures = tmp_path / "captures"
    captures.mkdir()
    for index in range(3):
        for kind in ("src", "bgr"):
            pixels = random.integers(0, 255, (12, 20, 3), np.uint8)
            Image.fromarray(pixels).resize((640, 400)).save(captures / f"{index}_{kind}.png")
    result = report(request_of(validated, tmp_path, composites=0, captures=(captures,), at_most=2))
    assert result.frames == ("captures/0", "captures/1")
    page = result.html.read_text(encoding="utf-8")
    assert "Of 3 captures the first 2 are shown." in page
    assert "alpha-truth" not in page


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "FP16" / f"{NAME}.bin").write_bytes(b"x"), "has changed since"),
        (lambda folder: (folder / f"{NAME}.onnx").unlink(), "has been deleted since"),
        (lambda folder: (folder / "validation.json").write_text("{"), "can(no|')t be read"),
        (lambda folder: (folder / "validation.json").write_text("[]"), "a record of schema 2"),
        (lambda folder: (folder / "validation.json").unlink(), "can(no|')t be read"),
    ],
    ids=["changed", "gone", "cut", "other", "none"],
)
def test_files_that_were_not_validated_are_not_reported(
    damage: Callable[[Path], Any], message: str, copy: Path, tmp_path: Path
) -> None:
    """One sentence names the file, and no page is written."""
    damage(copy)
    with pytest.raises(ReportError, match=message):
        report(request_of(copy, tmp_path))
    assert not list(tmp_path.glob("report.*"))


def test_real_frames_are_shown(validated: Path, real_frames: Path, tmp_path: Path) -> None:
    """A real capture has all its pictures too."""
    capture = Path(shutil.copytree(real_frames, tmp_path / "capture"))
    result = report(request_of(validated, tmp_path, composites=0, captures=(capture,)))
    assert result.frames == ("capture",)
    assert result.html.stat().st_size > 50_000
