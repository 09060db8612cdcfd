"""omz_downloader: flags, layout, exit codes, events."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.support.web_server import File, page, slowly
from toolchain.omz.downloader import main

FP32, FP16 = os.urandom(2_500_000), os.urandom(30_000)
XML = b"<?xml version='1.0'?><net/>"
ROOT = Path(__file__).parents[2]
NAME = "background-matting-mobilenetv2"


@pytest.fixture
def tree(server, tmp_path) -> Path:
    """A folder of models: one of two precisions, one that can't be had."""
    root = tmp_path / "models"
    models = {
        "whole": {
            "FP32/whole.xml": XML,
            "FP32/whole.bin": FP32,
            "FP16/whole.xml": XML,
            "FP16/whole.bin": FP16,
        },
        "broken": {"FP32/broken.xml": XML, "FP32/broken.bin": FP32},
    }
    for name, files in models.items():
        folder = root / "intel" / name
        folder.mkdir(parents=True)
        text = "description: d\ntask_type: detection\nframework: dldt\nlicense: MIT\nfiles:\n"
        for file, data in files.items():
            answer = File(data) if name == "whole" else page(404)
            url = server.serve(f"/{name}/{file}", answer)
            digest = hashlib.sha384(data).hexdigest()
            text += (
                f"  - {{name: {file}, size: {len(data)}, checksum: {digest}, source: '{url}'}}\n"
            )
        (folder / "model.yml").write_text(text, encoding="utf-8")
    return root


def events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_events_tell_the_whole_story(tree, tmp_path, capsys) -> None:
    """One object a line, `$type` first, in order, with sizes that end at the whole."""
    arguments = ["--name", "whole", "--models_root", str(tree), "-o", str(tmp_path)]
    assert main([*arguments, "--progress_format", "json"]) == 0
    out = capsys.readouterr().out
    assert all(line.startswith('{"$type": ') for line in out.splitlines())
    told = events(out)
    assert told[0] == {"$type": "model_download_begin", "model": "whole", "num_files": 4}
    assert told[-1] == {"$type": "model_download_end", "model": "whole", "successful": True}
    for name, data in (("FP32/whole.bin", FP32), ("FP16/whole.bin", FP16)):
        own = [event for event in told if event.get("model_file") == name]
        common = {"model": "whole", "model_file": name}
        begin = {"$type": "model_file_download_begin", **common, "size": len(data)}
        last = {"$type": "model_file_download_progress", **common, "size": len(data)}
        end = {"$type": "model_file_download_end", **common, "successful": True}
        assert own[0] == begin
        assert own[-2:] == [last, end]
        assert (tmp_path / "intel" / "whole" / name).read_bytes() == data


def test_a_second_run_fetches_nothing(server, tree, tmp_path, capsys) -> None:
    """The files are verified, and said to be there."""
    arguments = ["--name", "whole", "--models_root", str(tree), "-o", str(tmp_path)]
    assert main(arguments) == 0
    asked = len(server.asked)
    capsys.readouterr()
    assert main(arguments) == 0
    assert len(server.asked) == asked
    out = capsys.readouterr().out
    assert "################|| Downloading whole ||################" in out
    assert out.count("========== In place, verified: ") == 4


def test_text_has_the_incumbent_s_headings(tree, tmp_path, capsys) -> None:
    """A heading for the model and each file, and a line of progress."""
    assert main(["--name", "whole", "--models_root", str(tree), "-o", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "################|| Downloading whole ||################" in out
    target = tmp_path / "intel" / "whole" / "FP32" / "whole.bin"
    assert f"========== Downloading {target}\n... 100%, 2441 KB, " in out
    assert err == ""


def test_precisions_choose_files_and_models(tree, tmp_path, capsys) -> None:
    """Files in folders of other precisions stay away; a model without any is skipped, and said."""
    arguments = ["--models_root", str(tree), "-o", str(tmp_path), "--precisions", "FP16"]
    assert main(["--all", *arguments]) == 0
    assert (tmp_path / "intel" / "whole" / "FP16" / "whole.bin").exists()
    assert not (tmp_path / "intel" / "whole" / "FP32").exists()
    assert "Skipping broken (model is unsupported in FP16 precisions)" in capsys.readouterr().out


def test_a_failure_is_named_in_the_end(tree, tmp_path, capsys) -> None:
    """Exit code 1, FAILED: and the names; the other models are there; no traceback."""
    assert main(["--all", "--models_root", str(tree), "-o", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.endswith("FAILED:\nbroken\n")
    assert "404 Not Found" in err
    assert "Traceback" not in err
    assert (tmp_path / "intel" / "whole" / "FP32" / "whole.bin").exists()


def test_errors_stay_readable_beside_events(tree, tmp_path, capsys) -> None:
    """With JSON, stdout holds events alone; sentences and FAILED: go to stderr."""
    arguments = ["--name", "broken", "--models_root", str(tree), "-o", str(tmp_path)]
    assert main([*arguments, "--progress_format", "json"]) == 1
    out, err = capsys.readouterr()
    told = events(out)
    assert [event["$type"] for event in told] == [
        "model_download_begin",
        "model_file_download_begin",
        "model_file_download_end",
        "model_download_end",
    ]
    assert [event["successful"] for event in told[2:]] == [False, False]
    assert err.endswith("FAILED:\nbroken\n")
    assert "404 Not Found" in err


@pytest.mark.parametrize("jobs", ["2", "5"])
def test_jobs_keep_every_line_whole(tree, tmp_path, capsys, jobs) -> None:
    """Models, or files of one model, arrive side by side; each event is one line."""
    arguments = ["--models_root", str(tree), "-o", str(tmp_path), "--progress_format", "json"]
    assert main(["--all", *arguments, "-j", jobs]) == 1
    told = events(capsys.readouterr().out)
    ends = {e["model"]: e["successful"] for e in told if e["$type"] == "model_download_end"}
    assert ends == {"whole": True, "broken": False}
    assert main(["--name", "whole", *arguments, "-j", jobs]) == 0


def test_attempts_and_cache(server, tree, tmp_path) -> None:
    """One attempt unless more are asked for; what was fetched once comes from the cache."""
    server.serve("/whole/FP16/whole.bin", page(500), File(FP16))
    common = ["--name", "whole", "--models_root", str(tree), "--precisions", "FP16"]
    cache = ["--cache_dir", str(tmp_path / "cache")]
    assert main([*common, "-o", str(tmp_path / "a")]) == 1
    assert main([*common, "-o", str(tmp_path / "c"), *cache]) == 0
    asked = len(server.asked)
    assert main([*common, "-o", str(tmp_path / "b"), *cache]) == 0
    assert len(server.asked) == asked


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_ends_it_soon_and_keeps_what_came(server, tree, tmp_path, jobs) -> None:
    """Exit code 130, one line, the part is there for the next run."""
    server.serve("/whole/FP32/whole.bin", slowly(FP32, 300, 0.05))
    command = [sys.executable, "-m", "toolchain.omz.downloader", "--name", "whole", "-j", jobs]
    command += ["--models_root", str(tree), "-o", str(tmp_path)]
    partial = tmp_path / "intel" / "whole" / "FP32" / ".whole.bin.partial"
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (
            partial.exists() and partial.stat().st_size > 20_000
        ):
            time.sleep(0.01)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert time.monotonic() - began < 3
    assert process.returncode == 130
    assert err == "Interrupted.\n"
    assert partial.stat().st_size > 20_000


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--all", "--precisions", "FP33"], 1, "Unknown precisions specified: FP33."),
        (["--all", "-j", "0"], 2, "must be a positive integer (got '0')"),
        (["--all", "--num_attempts", "x"], 2, "must be a positive integer (got 'x')"),
        (["--all", "--progress_format", "xml"], 2, "invalid choice"),
        ([], 2, "must be specified"),
        (["--name", "absent"], 1, 'No matching models: "absent"'),
    ],
)
def test_bad_arguments(capsys, arguments, code, said) -> None:
    """1 for what names nothing, 2 for what argparse refuses."""
    assert main(arguments) == code
    assert said in capsys.readouterr().err


@pytest.fixture
def own(server, tmp_path, checkpoint):
    """Arguments for a model.yml whose checkpoint has no published digest."""
    server.serve("/weights.pth", File(checkpoint.read_bytes()))
    config = tmp_path / "model.yml"
    config.write_text(
        f"name: {NAME}\ndescription: d\ntask_type: background_matting\nframework: pytorch\n"
        f"license: MIT\nfiles:\n  - {{name: weights.pth, source: '{server.base}/weights.pth'}}\n"
        "input_info: [{name: src, shape: [1, 3, 8, 8], layout: NCHW}]\n"
        "conversion_to_onnx_args: [--backbone-scale=0.25]\nmodel_optimizer_args: []\n",
        encoding="utf-8",
    )
    return ["--all", "--config", str(config), "-o", str(tmp_path / "out")]


def test_a_checkpoint_without_a_digest_is_recorded_and_held(
    server, own, checkpoint, tmp_path, capsys
) -> None:
    """Verified by structure first; another one later is an error until it is accepted by name."""
    folder = tmp_path / "out" / "public" / NAME
    record = folder / "checkpoint.lock.json"
    assert main(own) == 0
    data = checkpoint.read_bytes()
    assert (folder / "weights.pth").read_bytes() == data
    written = json.loads(record.read_text())["files"]["weights.pth"]
    assert written["sha384"] == hashlib.sha384(data).hexdigest()
    assert written["source"] == f"{server.base}/weights.pth"
    changed = tmp_path / "changed.pth"
    save_changed(checkpoint, changed)
    server.serve("/weights.pth", File(changed.read_bytes()))
    (folder / "weights.pth").unlink()
    capsys.readouterr()
    assert main(own) == 1
    assert "--accept weights.pth" in capsys.readouterr().err
    assert not (folder / "weights.pth").exists()
    assert main([*own, "--accept", "weights.pth"]) == 0
    assert (folder / "weights.pth").read_bytes() == changed.read_bytes()
    assert main(own) == 0


def save_changed(source: Path, target: Path) -> None:
    import torch

    state = torch.load(source, weights_only=True)
    first = next(iter(state))
    state[first] = state[first] * 2
    torch.save(state, target)


def test_what_is_no_checkpoint_is_never_adopted(server, own, tmp_path, capsys) -> None:
    """A file of another structure is an error; nothing is recorded and nothing left."""
    server.serve("/weights.pth", File(b"no checkpoint at all"))
    assert main(own) == 1
    assert "not a checkpoint" in capsys.readouterr().err
    left = {path.name for path in (tmp_path / "out" / "public" / NAME).iterdir()}
    assert not {name for name in left if not name.endswith(".lock")}


def test_postprocessing_is_done_once_and_told(server, tmp_path, capsys) -> None:
    """Events around it; a second run finds it done and asks nobody."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        info = tarfile.TarInfo("net.txt")
        info.size = 3
        packed.addfile(info, io.BytesIO(b"old"))
    data = stream.getvalue()
    url = server.serve("/net.tar.gz", File(data))
    folder = tmp_path / "models" / "public" / "net"
    folder.mkdir(parents=True)
    (folder / "model.yml").write_text(
        "description: d\ntask_type: detection\nframework: onnx\nlicense: MIT\nfiles:\n"
        f"  - {{name: net.tar.gz, size: {len(data)}, checksum: {hashlib.sha384(data).hexdigest()}, "
        f"source: '{url}'}}\npostprocessing:\n"
        "  - {$type: unpack_archive, file: net.tar.gz, format: gztar}\n"
        "  - {$type: regex_replace, file: net.txt, pattern: old, replacement: new}\n"
        "model_optimizer_args: []\ninput_info: [{name: x}]\n",
        encoding="utf-8",
    )
    arguments = ["--all", "--models_root", str(tmp_path / "models"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--progress_format", "json"]) == 0
    kinds = [event["$type"] for event in events(capsys.readouterr().out)]
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


def test_a_file_that_nothing_can_verify_is_refused(server, tmp_path, capsys) -> None:
    """Without a checksum only a checkpoint of the built-in network has another proof."""
    folder = tmp_path / "models" / "net"
    folder.mkdir(parents=True)
    url = server.serve("/net.onnx", File(b"x"))
    (folder / "model.yml").write_text(
        "description: d\ntask_type: detection\nframework: onnx\nlicense: MIT\n"
        f"files: [{{name: net.onnx, source: '{url}'}}]\n"
        "model_optimizer_args: []\ninput_info: [{name: x}]\n",
        encoding="utf-8",
    )
    code = main(["--all", "--models_root", str(tmp_path / "models"), "-o", str(tmp_path / "out")])
    assert code == 1
    assert "no checksum is published" in capsys.readouterr().err
    assert server.asked == []
