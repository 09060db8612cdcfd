"""Download of a model: verified files, cache, recorded digests, postprocessing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from tests.support.omz_models import ONNX, Served, create_archive, write_model
from tests.support.web_server import File, page
from toolchain.omz.downloader import main

NAME = "background-matting-mobilenetv2"


def test_a_second_run_fetches_nothing(server, collection, tmp_path, capsys) -> None:
    """The files are verified, and reported as in place."""
    arguments = ["--name", "whole", "--models_root", str(collection), "-o", str(tmp_path)]
    assert main(arguments) == 0
    asked = len(server.asked)
    capsys.readouterr()
    assert main(arguments) == 0
    assert len(server.asked) == asked
    out = capsys.readouterr().out
    assert "################|| Downloading whole ||################" in out
    assert out.count("========== In place, verified: ") == 4


def test_attempts_and_cache(server, collection, whole, tmp_path) -> None:
    """One attempt by default; a file that was fetched once comes from the cache."""
    server.serve("/intel/whole/FP16/whole.bin", page(500), File(whole["FP16/whole.bin"]))
    common = ["--name", "whole", "--models_root", str(collection), "--precisions", "FP16"]
    cache = ["--cache_dir", str(tmp_path / "cache")]
    assert main([*common, "-o", str(tmp_path / "a")]) == 1
    assert main([*common, "-o", str(tmp_path / "c"), *cache]) == 0
    asked = len(server.asked)
    assert main([*common, "-o", str(tmp_path / "b"), *cache]) == 0
    assert len(server.asked) == asked


@pytest.fixture
def own(tls_server, tmp_path, checkpoint):
    """Arguments for a model.yml whose checkpoint has no published digest."""
    tls_server.serve("/weights.pth", File(checkpoint.read_bytes()))
    config = tmp_path / "model.yml"
    config.write_text(
        f"name: {NAME}\ndescription: d\ntask_type: background_matting\nframework: pytorch\n"
        "license: MIT\nfiles:\n"
        f"  - {{name: weights.pth, source: '{tls_server.base}/weights.pth'}}\n"
        "input_info: [{name: src, shape: [1, 3, 8, 8], layout: NCHW}]\n"
        "conversion_to_onnx_args: [--backbone-scale=0.25]\nmodel_optimizer_args: []\n",
        encoding="utf-8",
    )
    return ["--all", "--config", str(config), "-o", str(tmp_path / "out")]


def test_the_digest_of_a_checkpoint_is_recorded(
    tls_server, own, checkpoint, tmp_path, capsys
) -> None:
    """It is verified by its structure; a different one later is an error until it is accepted."""
    folder = tmp_path / "out" / "public" / NAME
    record = folder / "checkpoint.lock.json"
    assert main(own) == 0
    data = checkpoint.read_bytes()
    assert (folder / "weights.pth").read_bytes() == data
    written = json.loads(record.read_text())["files"]["weights.pth"]
    assert written["sha384"] == hashlib.sha384(data).hexdigest()
    assert written["source"] == f"{tls_server.base}/weights.pth"
    changed = tmp_path / "changed.pth"
    save_changed(checkpoint, changed)
    tls_server.serve("/weights.pth", File(changed.read_bytes()))
    (folder / "weights.pth").unlink()
    capsys.readouterr()
    assert main(own) == 1
    assert "--accept weights.pth" in capsys.readouterr().err
    assert not (folder / "weights.pth").exists()
    assert main([*own, "--accept", "weights.pth"]) == 0
    assert (folder / "weights.pth").read_bytes() == changed.read_bytes()
    assert main(own) == 0


def save_changed(source: Path, target: Path) -> None:
    state = torch.load(source, weights_only=True)
    first = next(iter(state))
    state[first] = state[first] * 2
    torch.save(state, target)


def test_a_file_that_is_not_a_checkpoint_is_refused(tls_server, own, tmp_path, capsys) -> None:
    """Nothing is recorded, and no file is left."""
    tls_server.serve("/weights.pth", File(b"no checkpoint at all"))
    assert main(own) == 1
    assert "not a checkpoint" in capsys.readouterr().err
    left = {path.name for path in (tmp_path / "out" / "public" / NAME).iterdir()}
    assert not {name for name in left if not name.endswith(".lock")}


def test_postprocessing_is_done_once(server, tmp_path, capsys) -> None:
    """It has events; a second run finds it done and sends no request."""
    data = create_archive("gztar", [("net.txt", b"old")])
    steps = [
        {"$type": "unpack_archive", "file": "net.tar.gz", "format": "gztar"},
        {"$type": "regex_replace", "file": "net.txt", "pattern": "old", "replacement": "new"},
    ]
    keys = {**ONNX, "postprocessing": steps}
    write_model(tmp_path / "models", "public/net", {"net.tar.gz": data}, server, **keys)
    arguments = ["--all", "--models_root", str(tmp_path / "models"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--progress_format", "json"]) == 0
    kinds = [
        event["$type"]
        for event in json.loads(f"[{','.join(capsys.readouterr().out.splitlines())}]")
    ]
    assert kinds[-3:] == [
        "model_download_end",
        "model_postprocessing_begin",
        "model_postprocessing_end",
    ]
    out = tmp_path / "out" / "public" / "net"
    assert (out / "net.txt").read_text() == "new"
    assert not (out / "net.tar.gz").exists()
    assert main(arguments) == 0
    assert len(server.asked) == 1
    (out / "net.txt").write_text("spoilt")
    assert main(arguments) == 0
    assert (out / "net.txt").read_text() == "new"


def test_a_file_without_checksum_is_refused(server, tmp_path, capsys) -> None:
    """Only a checkpoint of the built-in network can be verified without one."""
    files = {"net.onnx": Served(b"x", sha384="")}
    write_model(tmp_path / "models", "net", files, server, **ONNX)
    code = main(["--all", "--models_root", str(tmp_path / "models"), "-o", str(tmp_path / "out")])
    assert code == 1
    assert "no checksum is published" in capsys.readouterr().err
    assert server.asked == []
