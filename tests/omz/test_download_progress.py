"""Progress of omz_downloader: headings and lines of text, JSON events."""

from __future__ import annotations

import json

import pytest

from toolchain.omz.downloader import main


def events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_events_report_the_whole_download(collection, whole, tmp_path, capsys) -> None:
    """One object per line, `$type` first, in order; the last size is that of the file."""
    arguments = ["--name", "whole", "--models_root", str(collection), "-o", str(tmp_path)]
    assert main([*arguments, "--progress_format", "json"]) == 0
    out = capsys.readouterr().out
    assert all(line.startswith('{"$type": ') for line in out.splitlines())
    found = events(out)
    assert found[0] == {"$type": "model_download_begin", "model": "whole", "num_files": 4}
    assert found[-1] == {"$type": "model_download_end", "model": "whole", "successful": True}
    for name, data in whole.items():
        own = [event for event in found if event.get("model_file") == name]
        common = {"model": "whole", "model_file": name}
        begin = {"$type": "model_file_download_begin", **common, "size": len(data)}
        last = {"$type": "model_file_download_progress", **common, "size": len(data)}
        end = {"$type": "model_file_download_end", **common, "successful": True}
        assert own[0] == begin
        assert own[-2:] == [last, end]
        assert (tmp_path / "intel" / "whole" / name).read_bytes() == data


def test_text_has_the_headings_of_open_model_zoo(collection, tmp_path, capsys) -> None:
    """A heading for the model and each file, and a line of progress."""
    assert main(["--name", "whole", "--models_root", str(collection), "-o", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "################|| Downloading whole ||################" in out
    target = tmp_path / "intel" / "whole" / "FP32" / "whole.bin"
    assert f"========== Downloading {target}\n... 100%, 2441 KB, " in out
    assert err == ""


def test_messages_and_events_are_separate(collection, tmp_path, capsys) -> None:
    """With JSON, stdout has only events; messages and FAILED: go to stderr."""
    arguments = ["--name", "broken", "--models_root", str(collection), "-o", str(tmp_path)]
    assert main([*arguments, "--progress_format", "json"]) == 1
    out, err = capsys.readouterr()
    found = events(out)
    assert [event["$type"] for event in found] == [
        "model_download_begin",
        "model_file_download_begin",
        "model_file_download_end",
        "model_download_end",
    ]
    assert [event["successful"] for event in found[2:]] == [False, False]
    assert err.endswith("FAILED:\nbroken\n")
    assert "404 Not Found" in err


@pytest.mark.parametrize("jobs", ["2", "5"])
def test_concurrent_downloads_do_not_mix_lines(collection, tmp_path, capsys, jobs) -> None:
    """Several models, or files of one model, at the same time: each event is one line."""
    arguments = ["--models_root", str(collection), "-o", str(tmp_path), "--progress_format", "json"]
    assert main(["--all", *arguments, "-j", jobs]) == 1
    found = events(capsys.readouterr().out)
    ends = {e["model"]: e["successful"] for e in found if e["$type"] == "model_download_end"}
    assert ends == {"whole": True, "broken": False}
    assert main(["--name", "whole", *arguments, "-j", jobs]) == 0
