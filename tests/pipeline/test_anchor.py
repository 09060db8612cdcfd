"""The published weights rest on a published digest, of their file or of another with the same."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.support.checkpoint_forms import save_script
from tests.support.web_server import File, Server, page
from tests.support.weights import plausible_state, save_checkpoint
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import Model
from toolchain.checkpoints.load import load_state_dict
from toolchain.errors import CatalogError, DownloadError, IntegrityError
from toolchain.pipeline.anchor import describe_anchor
from toolchain.pipeline.build import build, plan_build
from toolchain.pipeline.obtain import plan_checkpoint
from toolchain.pipeline.report import describe_provenance
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights
from toolchain.progress import SilentListener

NAME, FILE, SCRIPT = "small-matting", "pytorch_mobilenetv2.pth", "torchscript.pth"


@pytest.fixture
def server(tls_server: Server) -> Server:
    """A web server on loopback; files without a digest are fetched over TLS only."""
    return tls_server


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TorchScript archive of the weights in `checkpoint`."""
    path = tmp_path_factory.mktemp("script") / SCRIPT
    save_script(plausible_state(), path)
    return path


def write_config(small_config: Path, folder: Path, source: str, other: str, script: Path) -> Model:
    """A model.yml with the state dict at `source` and its alternative at `other`."""
    lines = small_config.read_text().splitlines()
    lines = [f"    source: {source}" if "    source: " in line else line for line in lines]
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    lines += [
        "alternatives:",
        f"  - name: {SCRIPT}",
        f"    checksum: {{$type: sha256, value: {digest}}}",
        f"    source: {other}",
    ]
    path = folder / "model.yml"
    path.write_text("\n".join(lines) + "\n")
    return read_model(path)


def request_for(model: Model, output: Path) -> BuildRequest:
    """The download of the published weights."""
    weights = choose_weights(model, "upstream", output)
    return BuildRequest(model, weights, output, stages=("download",), attempts=1)


def read_lock(request: BuildRequest) -> dict[str, dict[str, object]]:
    """The files in the record of digests."""
    record = json.loads((request.weights_folder / "checkpoint.lock.json").read_text())
    files: dict[str, dict[str, object]] = record["files"]
    return files


class Notes(SilentListener):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_the_first_download_is_compared_with_the_file_of_known_digest(
    server: Server, small_config: Path, checkpoint: Path, script: Path, tmp_path: Path
) -> None:
    """The record, the provenance and the plan name the digest; nothing is fetched again."""
    source = server.serve("/weights.pth", File(checkpoint.read_bytes()))
    other = server.serve("/script.pth", File(script.read_bytes()))
    model = write_config(small_config, tmp_path, source, other, script)
    request = request_for(model, tmp_path / "out")
    build(request)
    assert request.checkpoint.name == FILE
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    expected = f"sha256:{digest} of {SCRIPT}, published; all 319 tensors equal bit for bit"
    assert read_lock(request)[FILE]["rests_on"] == expected
    assert describe_anchor(request) == expected
    assert ("Published digest", expected) in describe_provenance(request)
    asked = len(server.asked)
    build(request)
    assert len(server.asked) == asked
    assert not plan_checkpoint(request).runs


def test_other_weights_than_those_of_known_digest_are_refused(
    server: Server, small_config: Path, script: Path, tmp_path: Path
) -> None:
    """They are neither used nor recorded."""
    wrong = save_checkpoint(tmp_path / "wrong.pth", seed=9)
    source = server.serve("/weights.pth", File(wrong.read_bytes()))
    other = server.serve("/script.pth", File(script.read_bytes()))
    request = request_for(write_config(small_config, tmp_path, source, other, script), tmp_path)
    with pytest.raises(IntegrityError, match="tensors differ from those of torchscript"):
        build(request)
    assert not (request.weights_folder / FILE).exists()
    assert not (request.weights_folder / f"{FILE}.unverified").exists()
    assert not (request.weights_folder / "checkpoint.lock.json").exists()


def test_the_alternative_is_used_where_the_state_dict_cannot_be_had(
    server: Server, small_config: Path, script: Path, tmp_path: Path
) -> None:
    """Later runs, plans and an offline check use it without a request."""
    gone = server.serve("/gone.pth", page(404))
    other = server.serve("/script.pth", File(script.read_bytes()))
    model, notes = write_config(small_config, tmp_path, gone, other, script), Notes()
    request = request_for(model, tmp_path / "out")
    build(request, notes)
    assert request.checkpoint.name == SCRIPT
    assert any("trying the same weights elsewhere" in text for text in notes.texts)
    state = plausible_state()
    assert all(
        value.equal(state[key]) for key, value in load_state_dict(request.checkpoint).items()
    )
    assert str(read_lock(request)[SCRIPT]["rests_on"]).endswith(f"of {SCRIPT}, published")
    asked = len(server.asked)
    again = request_for(model, tmp_path / "out")
    build(again)
    assert plan_build(again)[0].action == "keep"
    assert len(server.asked) == asked
    assert choose_weights(model, "auto", tmp_path / "out").kind == "upstream"
    assert len(server.asked) == asked


def test_an_alternative_with_another_digest_is_not_used(
    server: Server, small_config: Path, checkpoint: Path, script: Path, tmp_path: Path
) -> None:
    """The error has the reasons of both files."""
    gone = server.serve("/gone.pth", page(404))
    other = server.serve("/script.pth", File(checkpoint.read_bytes()))
    request = request_for(write_config(small_config, tmp_path, gone, other, script), tmp_path)
    with pytest.raises(DownloadError) as caught:
        build(request)
    assert "404" in caught.value.message
    assert "wrong sha256" in caught.value.message


def test_weights_that_nothing_verifies_are_used_and_said_to_be(
    server: Server, small_config: Path, checkpoint: Path, script: Path, tmp_path: Path
) -> None:
    """An alternative that cannot be had is a note; once it is present, it is compared."""
    source = server.serve("/weights.pth", File(checkpoint.read_bytes()))
    gone = server.serve("/gone.pth", page(404))
    model, notes = write_config(small_config, tmp_path, source, gone, script), Notes()
    request = request_for(model, tmp_path / "out")
    build(request, notes)
    assert any("which would verify the weights" in text for text in notes.texts)
    assert "rests_on" not in read_lock(request)[FILE]
    assert describe_anchor(request).startswith("none published")
    shutil.copy(script, request.weights_folder / SCRIPT)
    build(request)
    assert "bit for bit" in str(read_lock(request)[FILE]["rests_on"])


def test_an_alternative_without_a_digest_is_an_error_of_the_model(
    small_config: Path, script: Path, tmp_path: Path
) -> None:
    """Nothing would verify it."""
    write_config(small_config, tmp_path, "file:x", "file:y", script)
    path = tmp_path / "model.yml"
    path.write_text(
        "".join(line for line in path.read_text().splitlines(keepends=True) if "sha256" not in line)
    )
    with pytest.raises(CatalogError, match="has no checksum"):
        read_model(path)
