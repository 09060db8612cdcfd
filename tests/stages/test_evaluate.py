"""Evaluate: the figures of the text, whatever was interrupted, skipped or split on the way."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from PIL import Image

from tests.support.datasets import truncate_file, write_published
from tests.support.evaluating import SIZE, build_small, frames_of, small_request
from tests.support.second import by_the_paper, by_the_text, pixel_by_pixel
from toolchain.definitions.metrics import METRIC_KEYS as METRICS
from toolchain.errors import EvaluationError
from toolchain.frames.generated_dataset import make_generated
from toolchain.frames.open_dataset import open_dataset
from toolchain.runtimes.inference_queue import Prediction
from toolchain.stages.evaluate import shard as sharding
from toolchain.stages.evaluate.evaluate import evaluate
from toolchain.stages.evaluate.request import EvaluatedModel, EvaluateRequest

CLIPS = {"a": 3, "b": 2}


@pytest.fixture(scope="module")
def built(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX and both IRs; not to be changed."""
    return build_small(checkpoint, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five frames in two clips, at a size that is not the model's; not to be changed."""
    return write_published(tmp_path_factory.mktemp("data") / "set", CLIPS)


@pytest.fixture
def request_(built: Path, published: Path, tmp_path: Path) -> EvaluateRequest:
    """FP32 alone on the published layout."""
    return small_request(built, open_dataset(published, None, 1), tmp_path / "evaluation.json")


@pytest.fixture
def own(published: Path, tmp_path: Path) -> Path:
    """A copy of the dataset that a test may spoil."""
    shutil.copytree(published, tmp_path / "set")
    return tmp_path / "set"


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the frames that are scored meanwhile, by whichever model."""
    seen: list[str] = []
    score = sharding._score

    def counting(model: EvaluatedModel, task: Any, *rest: Any) -> Any:
        seen.append(f"{model.variant.form} {task.item.name}")
        return score(model, task, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(sharding, "_score", counting)
        yield seen


def by_hand(built: Path, root: Path, name: str) -> list[float]:
    """One frame's six scores: files, model and metrics by the shortest way of one's own."""
    model = openvino.compile_model(
        built / "FP32" / "m.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )

    def planes(folder: str) -> np.ndarray:
        picture = Image.open(root / folder / f"{name}.png").convert("RGB")
        rgb = np.asarray(picture.resize((320, 192), Image.Resampling.BILINEAR), np.float32)
        return np.ascontiguousarray(rgb[None, :, :, ::-1].transpose(0, 3, 1, 2))

    result = model({"src": planes("com"), "bgr": planes("bgr")})
    truth = np.asarray(Image.open(root / "fgr" / f"{name}.png")) / 255
    height, width = truth.shape[:2]
    p = pixel_by_pixel(result["pha"][0, 0].astype(float), width, height)
    f = pixel_by_pixel(result["fgr"][0].transpose(1, 2, 0).astype(float), width, height)
    a, t = truth[..., 3], truth[..., :3]
    return [
        *by_the_text(p, f, a, t),
        np.abs(p - a).sum() / 1000,
        by_the_paper(p, a) / 1000,
    ]


def test_every_figure_is_that_of_a_second_implementation(
    built: Path, published: Path, request_: EvaluateRequest
) -> None:
    """From the files on disk to clip means and total, all six metrics agree to 1e-6."""
    content = evaluate(request_).content
    (entry,) = content["models"]
    rows = {name: by_hand(built, published, name) for name in frames_of(CLIPS)}
    for clip, frames in CLIPS.items():
        expected = np.mean([rows[f"{clip}/{n:04}"] for n in range(frames)], 0)
        found = [entry["clips"][clip][metric] for metric in METRICS]
        assert found == pytest.approx(expected.tolist(), rel=1e-6)
        assert entry["clips"][clip]["frames"] == frames
    total = np.mean(list(rows.values()), 0)
    assert [entry["total"][m]["mean"] for m in METRICS] == pytest.approx(total.tolist(), rel=1e-6)
    assert all(row["low"] <= row["mean"] <= row["high"] for row in entry["total"].values())


def test_all_forms_are_measured_and_stand_in_three_files(
    built: Path, published: Path, tmp_path: Path, checkpoint: Path
) -> None:
    """Original, ONNX and IR agree; JSON, CSV and Markdown hold the same figures; so do reruns."""
    request = small_request(
        built,
        open_dataset(published, None, 1),
        tmp_path / "evaluation.json",
        models=("original", "ONNX", "FP32"),
        checkpoint=checkpoint,
        published={"about": "of others", "rows": {"theirs": {"alpha_mad": 4.32}}},
    )
    result = evaluate(request)
    assert result.scored == 15
    content = json.loads(request.target.read_text())
    assert content == result.content
    assert [(e["form"], e["hint"], e["executed"]) for e in content["models"]] == [
        ("original", "f32", "f32"),
        ("ONNX", "f32", "f32"),
        ("FP32", "f32", "f32"),
    ]
    original, *others = content["models"]
    for entry in others:
        for metric in METRICS:
            one, other = entry["total"][metric]["mean"], original["total"][metric]["mean"]
            assert one == pytest.approx(other, rel=1e-3)
            against = entry["against_original"][metric]
            assert against["mean"] == pytest.approx(one - other, abs=1e-9)
            assert against["low"] <= against["mean"] <= against["high"]
    assert content["dataset"] == {
        "kind": "published",
        "name": "set",
        "clips": 2,
        "frames": 5,
        "size": [320, 192],
        "skipped": [],
        "seed": None,
    }
    assert set(content["scales"]) == set(METRICS)
    rows = list(csv.DictReader(request.target.with_suffix(".csv").read_text().splitlines()))
    assert len(rows) == 3 * 3
    totals = {row["form"]: row for row in rows if row["clip"] == ""}
    for entry in content["models"]:
        for metric in METRICS:
            assert float(totals[entry["form"]][metric]) == entry["total"][metric]["mean"]
    text = request.target.with_suffix(".md").read_text()
    assert f"{original['total']['alpha_mad']['mean']:.3f}" in text
    assert "| *published: theirs* |  |  | 4.32 |" in text
    before = {path: path.read_bytes() for path in tmp_path.glob("evaluation.*")}
    again = evaluate(request)
    assert again.scored == 0
    assert {path: path.read_bytes() for path in tmp_path.glob("evaluation.*")} == before
    assert str(tmp_path) not in request.target.read_text()


def test_an_interrupted_run_goes_on(
    request_: EvaluateRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Frames scored before an interruption are not scored again, and the bytes are the same."""
    whole = evaluate(replace(request_, target=tmp_path / "whole" / "evaluation.json"))
    assert whole.scored == 5
    enter = sharding.ScoredFrame

    def interrupts(*arguments: Any) -> Any:
        if arguments[0] == 3:
            raise KeyboardInterrupt
        return enter(*arguments)

    monkeypatch.setattr(sharding, "ScoredFrame", interrupts)
    with pytest.raises(KeyboardInterrupt):
        evaluate(request_)
    monkeypatch.setattr(sharding, "ScoredFrame", enter)
    assert not request_.target.exists()
    with counted(monkeypatch) as seen:
        result = evaluate(request_)
    assert 1 <= len(seen) == result.scored < 5
    assert "FP32 b/0000" in seen
    assert request_.target.read_bytes() == whole.target.read_bytes()


def test_a_changed_frame_is_scored_again_and_no_other(
    request_: EvaluateRequest, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pixel of one file is enough, and its old scores are gone from the mean."""
    request = replace(request_, dataset=open_dataset(own, None, 1))
    before = evaluate(request).content
    path = own / "fgr" / "a" / "0001.png"
    with Image.open(path) as picture:
        Image.fromarray(255 - np.asarray(picture)).save(path)
    with counted(monkeypatch) as seen:
        after = evaluate(request).content
    assert seen == ["FP32 a/0001"]
    clips = [content["models"][0]["clips"] for content in (before, after)]
    assert clips[0]["a"] != clips[1]["a"]
    assert clips[0]["b"] == clips[1]["b"]


def test_another_model_or_seed_is_never_mixed_in(
    request_: EvaluateRequest, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of the same name but other bytes, and other frames of the same name, are new."""
    evaluate(request_)
    for name in ("m.xml", "m.bin"):
        shutil.copy(built / "FP16" / name, tmp_path / name)
    model = replace(request_.models[0], file=tmp_path / "m.xml")
    with counted(monkeypatch) as seen:
        evaluate(replace(request_, models=(model,)))
    assert len(seen) == 5
    request = replace(request_, dataset=make_generated(2, 5))
    with counted(monkeypatch) as seen:
        evaluate(request)
        evaluate(replace(request, dataset=make_generated(2, 6)))
    assert len(seen) == 4


def test_bad_frames_stop_the_run_and_are_all_listed(request_: EvaluateRequest, own: Path) -> None:
    """Truncated, missing, mis-sized: named with reasons and counted, before anything is scored."""
    spoil(own)
    with pytest.raises(EvaluationError) as caught:
        evaluate(replace(request_, dataset=open_dataset(own, None, 1)))
    message = caught.value.message
    assert message.startswith("3 of 5 frames can")
    assert "com/a/0001.png: cannot read the image" in message
    assert "bgr/a/0002: is missing" in message
    assert "b/0000.png: has 80x48 pixels" in message
    assert "--skip-bad" in caught.value.hint
    assert not request_.target.exists()


def test_bad_frames_are_skipped_when_asked_and_counted(
    request_: EvaluateRequest, own: Path
) -> None:
    """All three files have the mean of the other frames and the list of the skipped ones."""
    whole = evaluate(request_).content["models"][0]["clips"]
    spoil(own)
    result = evaluate(replace(request_, dataset=open_dataset(own, None, 1), skip_bad=True))
    assert result.content["dataset"]["frames"] == 2
    assert [fault["file"] for fault in result.content["dataset"]["skipped"]] == [
        "bgr/a/0002",
        "com/a/0001.png",
        "bgr/b/0000.png",
    ]
    (entry,) = result.content["models"]
    assert entry["frames"] == 2
    assert {clip: row["frames"] for clip, row in entry["clips"].items()} == {"a": 1, "b": 1}
    assert entry["clips"]["b"] != whole["b"]
    assert "3 bad frames were left out" in result.target.with_suffix(".md").read_text()


def test_damage_that_only_decoding_shows_stops_or_is_skipped(
    request_: EvaluateRequest, own: Path
) -> None:
    """It is found while frames are scored; what was scored is kept for the next run."""
    path = own / "com" / "b" / "0001.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data)
    request = replace(request_, dataset=open_dataset(own, None, 1))
    with pytest.raises(EvaluationError, match=r"1 of 5 frames cannot be used"):
        evaluate(request)
    result = evaluate(replace(request, skip_bad=True))
    assert result.scored < 5
    assert result.content["models"][0]["frames"] == 4
    for folder in ("com", "bgr", "fgr"):
        shutil.rmtree(own / folder / "a")
    (own / "com" / "b" / "0000.png").write_bytes(b"")
    with pytest.raises(EvaluationError, match="no frame of the dataset can be used"):
        evaluate(replace(request, dataset=open_dataset(own, None, 1), skip_bad=True))


def spoil(root: Path) -> None:
    truncate_file(root / "com" / "a" / "0001.png")
    (root / "bgr" / "a" / "0002.png").unlink()
    path = root / "bgr" / "b" / "0000.png"
    with Image.open(path) as picture:
        picture.resize((80, 48)).save(path)


def test_outputs_that_are_no_numbers_are_a_failure(
    request_: EvaluateRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN names model and frame, and gives no table."""
    import toolchain.runtimes.openvino_async as module

    def spoilt(pha: np.ndarray, fgr: np.ndarray, seconds: float) -> Prediction:
        pha[3, 4] = np.nan
        return Prediction(pha, fgr, seconds)

    monkeypatch.setattr(module, "Prediction", spoilt)
    with pytest.raises(EvaluationError, match="FP32 at f32: NaN or infinite values on frame a/000"):
        evaluate(request_)
    assert not request_.target.exists()


@pytest.mark.parametrize("model", ["FP32", "ONNX"])
def test_a_model_of_another_size_is_refused(
    request_: EvaluateRequest, built: Path, model: str
) -> None:
    """What was built for one size is not fed frames of another."""
    request = small_request(built, request_.dataset, request_.target, models=(model,))
    models = (replace(request.models[0], settings=replace(SIZE, width=160, height=96)),)
    with pytest.raises(EvaluationError, match="takes frames of 320x192, expected 160x96"):
        evaluate(replace(request, models=models))
