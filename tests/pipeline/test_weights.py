"""Choice of weights; names of results; records of the weights in every file."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import onnx
import openvino
import pytest

from tests.support.web_server import File, Server, page
from tests.support.weights import save_checkpoint
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import Model
from toolchain.cli.main import main
from toolchain.errors import CheckpointError, DownloadError, IntegrityError, UsageError
from toolchain.pipeline.build import build
from toolchain.pipeline.obtain import plan_checkpoint
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights
from toolchain.progress import SilentListener

NAME = "small-matting"
FILE = "pytorch_mobilenetv2.pth"
LIMITS = "tolerances:\n" + "".join(
    f"  - {{form: {form}, hint: {hint}, pha_max_abs: 0.5, reason: for tests}}\n"
    for form, hint in (("ONNX", "f32"), ("FP32", "f32"), ("FP32", "default"))
)


class Notes(SilentListener):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def server(tls_server: Server) -> Server:
    """A web server on loopback; files without a digest are fetched over TLS only."""
    return tls_server


@pytest.fixture
def nowhere() -> str:
    """The address of a local port on which no server listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{free.getsockname()[1]}/weights.pth"


@pytest.fixture
def config(small_config: Path, checkpoint: Path, tmp_path: Path) -> Path:
    """The small model.yml with a local file as bundled weights."""
    path = tmp_path / "model.yml"
    shipped = shutil.copy(checkpoint, tmp_path / "shipped.pth")
    text = (
        f"bundled: {{name: shipped.pth, source: '{Path(shipped).as_uri()}', "
        f"size: {checkpoint.stat().st_size}, "
        f"checksum: {hashlib.sha384(checkpoint.read_bytes()).hexdigest()}}}\n"
    )
    path.write_text(small_config.read_text() + LIMITS + text)
    return path


@pytest.fixture
def model(config: Path) -> Model:
    return read_model(config)


def from_sources(config: Path, *sources: str) -> Model:
    """The model of `config` with other sources of its checkpoint, written to `config`."""
    lines = []
    for line in config.read_text().splitlines():
        if line.startswith("    source: "):
            lines.append(f"    source: {sources[0]}")
            if sources[1:]:
                lines.append(f"    mirrors: [{', '.join(sources[1:])}]")
        else:
            lines.append(line)
    config.write_text("\n".join(lines) + "\n")
    return read_model(config)


def fetch(model: Model, output: Path, notes: Notes | None = None, **more: str) -> Path:
    """Run the download stage for the published weights; return the checkpoint's path."""
    weights = choose_weights(model, "upstream", output)
    request = BuildRequest(model, weights, output, stages=("download",), attempts=1, **more)  # type: ignore[arg-type]
    build(request, notes)
    return request.checkpoint


def test_each_kind_of_weights_has_its_own_folder(
    model: Model, checkpoint: Path, tmp_path: Path
) -> None:
    """Results of published, bundled and given weights have different names."""
    names = {
        kind: choose_weights(model, asked, tmp_path, name).name
        for kind, asked, name in (
            ("upstream", "upstream", None),
            ("bundled", "bundled", None),
            ("custom", str(checkpoint), None),
            ("named", str(checkpoint), "mine-2.0"),
        )
    }
    assert names == {
        "upstream": NAME,
        "bundled": f"{NAME}-bundled",
        "custom": f"{NAME}-custom",
        "named": "mine-2.0",
    }
    folders = {
        BuildRequest(model, choose_weights(model, asked, tmp_path), tmp_path).layout.folder
        for asked in ("upstream", "bundled", str(checkpoint))
    }
    assert folders == {tmp_path / "public" / name for name in list(names.values())[:3]}


@pytest.mark.parametrize(
    "name",
    [
        NAME,
        f"{NAME}-bundled",
        NAME.upper(),
        "",
        ".",
        "..",
        ".hidden",
        "-x",
        "a/b",
        "a b",
        "a.",
        "nul",
        "é",
    ],
)
def test_an_ambiguous_or_invalid_name_is_refused(
    name: str, model: Model, checkpoint: Path, tmp_path: Path
) -> None:
    """Names of other weights in any case, and invalid file names, are usage errors."""
    with pytest.raises(UsageError, match="--name"):
        choose_weights(model, str(checkpoint), tmp_path, name)


@pytest.mark.parametrize("asked", ["upstream", "bundled", "auto"])
def test_only_weights_given_by_path_can_be_named(asked: str, model: Model, tmp_path: Path) -> None:
    """--name with upstream, bundled or auto is a usage error."""
    with pytest.raises(UsageError, match="has its own name"):
        choose_weights(model, asked, tmp_path, "mine")


def test_a_missing_file_or_a_folder_is_not_a_checkpoint(model: Model, tmp_path: Path) -> None:
    """The error states what --weights accepts."""
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be read") as error:
            choose_weights(model, str(path), tmp_path)
        assert "upstream, bundled, auto" in error.value.hint


def test_auto_uses_upstream_if_it_answers(
    server: Server, config: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """One byte is requested; the results have the published name."""
    url = server.serve("/weights.pth", File(checkpoint.read_bytes()))
    weights = choose_weights(from_sources(config, url), "auto", tmp_path)
    assert (weights.kind, weights.name, weights.why) == (
        "upstream",
        NAME,
        "upstream can be reached",
    )
    assert [asked.headers["range"] for asked in server.asked] == ["bytes=0-0"]


def test_auto_uses_bundled_if_upstream_cannot_be_reached(
    config: Path, nowhere: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """This is reported first and last, with the reason; the results have another name."""
    from_sources(config, nowhere)
    arguments = ["download", "--config", str(config), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--weights", "auto"]) == 0
    out, err = capsys.readouterr()
    expected = "Weights: bundled (upstream cannot be reached: "
    assert err.startswith(expected)
    assert nowhere in err.splitlines()[0]
    assert out.splitlines()[-1].startswith(expected)
    folder = tmp_path / "out" / "public"
    assert (folder / f"{NAME}-bundled" / "shipped.pth").is_file()
    assert not (folder / NAME).exists()


def test_auto_uses_a_present_upstream_checkpoint(
    config: Path, nowhere: str, checkpoint: Path, tmp_path: Path
) -> None:
    """Without any request."""
    model = from_sources(config, nowhere)
    target = tmp_path / "public" / NAME / FILE
    target.parent.mkdir(parents=True)
    shutil.copy(checkpoint, target)
    weights = choose_weights(model, "auto", tmp_path)
    assert (weights.kind, weights.why) == ("upstream", "its checkpoint is already present")


def test_unreachable_upstream_is_an_error_with_alternatives(
    config: Path, nowhere: str, tmp_path: Path
) -> None:
    """URL, path for a manual download, and offline alternative; a file placed there is used."""
    model = from_sources(config, nowhere)
    with pytest.raises(DownloadError) as error:
        fetch(model, tmp_path / "out")
    text = "\n".join(error.value.lines())
    place = (tmp_path / "out" / "public" / NAME / FILE).absolute()
    for part in (nowhere, str(place), "--weights bundled"):
        assert part in text
    shutil.copy(tmp_path / "shipped.pth", place)
    assert fetch(model, tmp_path / "out") == place
    pinned = json.loads((place.parent / "checkpoint.lock.json").read_text())["files"][FILE]
    assert pinned["sha384"] == hashlib.sha384(place.read_bytes()).hexdigest()


def test_a_model_without_bundled_weights_gets_those_of_the_toolchain(
    small_config: Path, tmp_path: Path
) -> None:
    """Those of the built-in model.yml."""
    weights = choose_weights(read_model(small_config), "bundled", tmp_path)
    assert weights.name == f"{NAME}-bundled"
    assert weights.file.name.endswith(".safetensors")


def test_every_file_records_the_weights_it_was_built_from(
    model: Model, checkpoint: Path, tmp_path: Path
) -> None:
    """ONNX metadata, rt_info and validation.json have kind and digest."""
    digest = hashlib.sha384(checkpoint.read_bytes()).hexdigest()
    weights = choose_weights(model, "bundled", tmp_path)
    request = BuildRequest(model, weights, tmp_path, precisions=("FP32",), composites=1)
    result = build(request)
    expected = {
        "model": f"{NAME}-bundled",
        "weights": "bundled",
        "weights_are": "demonstration weights that ship with the toolchain, not the published ones",
        "checkpoint_sha384": digest,
        "license": "https://example.org/LICENSE",
    }
    written = onnx.load(request.layout.onnx)
    assert {entry.key: entry.value for entry in written.metadata_props}.items() >= expected.items()
    ir = openvino.Core().read_model(request.layout.ir("FP32"))
    assert {key: ir.get_rt_info(["matting", key]).astype(str) for key in expected} == expected
    assert result.verdict is not None
    assert result.verdict["facts"].items() >= expected.items()
    assert result.verdict["model"] == f"{NAME}-bundled"


def test_a_source_with_another_file_is_skipped(
    server: Server, config: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """The file of the next mirror is used and recorded."""
    bad = server.serve("/bad.pth", File(b"a well-formed file of something else"))
    good = server.serve("/good.pth", File(checkpoint.read_bytes()))
    notes = Notes()
    path = fetch(from_sources(config, bad, good), tmp_path, notes)
    assert path.read_bytes() == checkpoint.read_bytes()
    assert any("trying the next source" in text for text in notes.texts)
    lock = json.loads((path.parent / "checkpoint.lock.json").read_text())
    assert lock["files"][FILE]["source"] == good
    assert not path.with_name(f"{FILE}.unverified").exists()


def test_no_source_with_a_checkpoint_is_an_error(
    server: Server, config: Path, tmp_path: Path
) -> None:
    """No file is used, recorded or left, except for locks."""
    urls = [server.serve(f"/{name}.pth", File(name.encode() * 99)) for name in ("a", "b")]
    with pytest.raises(CheckpointError, match=r"\.unverified: not a "):
        fetch(from_sources(config, *urls), tmp_path)
    folder = tmp_path / "public" / NAME
    assert [asked.path for asked in server.asked] == ["/a.pth", "/b.pth"]
    assert not [path.name for path in folder.iterdir() if not path.name.endswith(".lock")]


def test_an_unreachable_mirror_does_not_prevent_the_next(
    server: Server, config: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """The third source is used after an unreachable one and one with another file."""
    gone = server.serve("/gone.pth", page(404))
    bad = server.serve("/bad.pth", File(b"x" * 999))
    good = server.serve("/good.pth", File(checkpoint.read_bytes()))
    path = fetch(from_sources(config, gone, bad, good), tmp_path)
    assert path.read_bytes() == checkpoint.read_bytes()


def test_a_changed_checkpoint_is_an_error_until_it_is_accepted(
    config: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """The recorded digest is valid until the user names the file; then the new one is."""
    out, record = tmp_path / "out", tmp_path / "out" / "public" / NAME / "checkpoint.lock.json"
    model = from_sources(config, checkpoint.as_uri())
    path = fetch(model, out)
    recorded = record.read_bytes()
    other = save_checkpoint(tmp_path / "other.pth", seed=3)
    changed = from_sources(config, other.as_uri())
    path.unlink()
    with pytest.raises(IntegrityError, match="expected sha384") as error:
        fetch(changed, out)
    assert f"--accept {FILE}" in error.value.hint
    assert not path.exists()
    assert record.read_bytes() == recorded
    assert fetch(changed, out, accept=FILE).read_bytes() == other.read_bytes()
    shutil.copy(checkpoint, path)
    with pytest.raises(IntegrityError):
        fetch(changed, out)
    assert path.read_bytes() == checkpoint.read_bytes()


def test_planning_with_a_changed_checkpoint_changes_nothing(
    config: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """The message is true: no file or lock is created or changed."""
    model = from_sources(config, checkpoint.as_uri())
    path = fetch(model, tmp_path / "out")
    save_checkpoint(path, seed=3)
    request = BuildRequest(
        model,
        choose_weights(model, "upstream", tmp_path / "out"),
        tmp_path / "out",
        stages=("download",),
    )

    def snapshot() -> dict[Path, int]:
        return {item: item.stat().st_mtime_ns for item in (tmp_path / "out").rglob("*")}

    before = snapshot()
    with pytest.raises(IntegrityError, match="expected sha384") as error:
        plan_checkpoint(request)
    assert error.value.kept == "Nothing was changed."
    assert snapshot() == before


def test_a_given_checkpoint_is_copied(model: Model, checkpoint: Path, tmp_path: Path) -> None:
    """A changed file replaces the copy."""
    own = Path(shutil.copy(checkpoint, tmp_path / "own.pth"))
    request = BuildRequest(
        model, choose_weights(model, str(own), tmp_path), tmp_path, stages=("download",)
    )
    build(request)
    assert request.checkpoint == tmp_path / "public" / f"{NAME}-custom" / "own.pth"
    assert request.checkpoint.read_bytes() == checkpoint.read_bytes()
    save_checkpoint(own, seed=4)
    build(replace(request, weights=choose_weights(model, str(own), tmp_path)))
    assert request.checkpoint.read_bytes() == own.read_bytes()
