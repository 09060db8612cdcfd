"""The model of the bundled weights in the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.pipeline import bundled
from toolchain.pipeline.bundled import CACHE_VARIABLE, find_bundled, get_cache_folder
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import SilentListener


def test_the_bundled_model_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call builds FP16 in the cache; the second one finds it there."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    requests: list[BuildRequest] = []

    def build(request: BuildRequest, _: object) -> None:
        requests.append(request)
        folder = request.output / "public" / "background-matting-mobilenetv2-bundled" / "FP16"
        folder.mkdir(parents=True)
        for suffix in (".xml", ".bin"):
            (folder / f"background-matting-mobilenetv2-bundled{suffix}").touch()

    monkeypatch.setattr(bundled, "build", build)
    first, second = find_bundled(SilentListener()), find_bundled(SilentListener())
    assert first == second
    assert (first / "FP16").is_dir()
    assert first.is_relative_to(tmp_path)
    (request,) = requests
    assert request.weights.kind == "bundled"
    assert request.precisions == ("FP16",)


def test_the_cache_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without MATTING_CACHE it is in the user's cache folder."""
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert get_cache_folder() == tmp_path / "background-matting-toolchain"
