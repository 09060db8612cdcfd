"""Postprocessing of downloaded files: text replaced, archives unpacked, once."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.omz_models import create_archive
from toolchain.catalog.records import Digest, ModelFile, RegexReplace, UnpackArchive
from toolchain.errors import DownloadError
from toolchain.omz import postprocess as module
from toolchain.omz.postprocess import (
    PostprocessRequest,
    is_postprocessed,
    postprocess,
    restore_originals,
)

CONTENT = {"a.txt": b"alpha", "deep/er/b.bin": bytes(range(256)), "empty": b""}


def published(path) -> ModelFile:
    data = path.read_bytes()
    return ModelFile(path.name, len(data), Digest("sha384", hashlib.sha384(data).hexdigest()), ())


def test_steps_run_once(tmp_path) -> None:
    """A record shows the next run that all steps are done; a changed result invalidates it."""
    text, packed = tmp_path / "net.txt", tmp_path / "packed"
    text.write_text("one two one\n")
    packed.write_bytes(create_archive("gztar", CONTENT.items()))
    request = PostprocessRequest(
        tmp_path,
        (published(text), published(packed)),
        (
            RegexReplace("net.txt", "one", "1", 1),
            RegexReplace("net.txt", "two", r"<\g<0>>"),
            UnpackArchive("packed", "gztar"),
            RegexReplace("a.txt", "alpha", "beta"),
        ),
    )
    assert not is_postprocessed(request)
    postprocess(request)
    assert text.read_text() == "1 <two> one\n"
    assert (tmp_path / "net.txt.orig").read_text() == "one two one\n"
    assert (tmp_path / "a.txt").read_text() == "beta"
    assert not packed.exists()
    assert is_postprocessed(request)
    (tmp_path / "deep" / "er" / "b.bin").write_bytes(b"changed")
    assert not is_postprocessed(request)


def test_after_a_killed_run_the_steps_begin_with_the_originals(tmp_path) -> None:
    """After half of the steps without a record, the original is restored and all steps are done."""
    text = tmp_path / "net.txt"
    text.write_text("one two\n")
    steps = (RegexReplace("net.txt", "one", "1"), RegexReplace("net.txt", "two", "2"))
    request = PostprocessRequest(tmp_path, (published(text),), steps)
    postprocess(PostprocessRequest(tmp_path, request.files, steps[:1]))
    assert text.read_text() == "1 two\n"
    restore_originals(request)
    assert text.read_text() == "one two\n"
    postprocess(request)
    assert text.read_text() == "1 2\n"
    assert (tmp_path / "net.txt.orig").read_text() == "one two\n"


def test_a_stale_original_is_not_restored(tmp_path) -> None:
    """An `.orig` of another version of the file is ignored."""
    text = tmp_path / "net.txt"
    text.write_text("new\n")
    (tmp_path / "net.txt.orig").write_text("old\n")
    request = PostprocessRequest(
        tmp_path, (published(text),), (RegexReplace("net.txt", "new", "newer"),)
    )
    restore_originals(request)
    postprocess(request)
    assert text.read_text() == "newer\n"
    assert (tmp_path / "net.txt.orig").read_text() == "new\n"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (RegexReplace("net.txt", "three", ""), "at least once, found it 0 times"),
        (RegexReplace("net.txt", "one", "", 2), "2 times, found it 1 times"),
    ],
)
def test_a_pattern_that_is_not_found_is_an_error(tmp_path, step, message) -> None:
    """The file stays as it was."""
    text = tmp_path / "net.txt"
    text.write_text("one two\n")
    with pytest.raises(DownloadError, match=message):
        postprocess(PostprocessRequest(tmp_path, (published(text),), (step,)))
    assert text.read_text() == "one two\n"


def test_a_pattern_that_takes_too_long_or_too_much_is_an_error(tmp_path, monkeypatch) -> None:
    """It is stopped after its time or at its memory; the file stays as it was."""
    monkeypatch.setattr(module, "TIME_LIMIT", 2.0)
    monkeypatch.setattr(module, "MEMORY_LIMIT", 200 << 20)
    text = tmp_path / "net.txt"
    text.write_text("a" * 40 + "b\n")
    for pattern, replacement in (("(a+)+$", "x"), ("a", "y" * 9000 + r"\g<0>" * 100)):
        text.write_text("a" * (40 if "+" in pattern else 100_000) + "b\n")
        before = text.read_text()
        step = RegexReplace("net.txt", pattern, replacement)
        with pytest.raises(DownloadError, match="cannot be applied"):
            postprocess(PostprocessRequest(tmp_path, (), (step,)))
        assert text.read_text() == before


def test_a_binary_file_is_an_error(tmp_path) -> None:
    """Bytes that are not UTF-8 stay as they were."""
    data = b"\xff\xfe\x00"
    (tmp_path / "net.txt").write_bytes(data)
    step = RegexReplace("net.txt", "x", "y")
    with pytest.raises(DownloadError, match="expected text in UTF-8"):
        postprocess(PostprocessRequest(tmp_path, (), (step,)))
    assert (tmp_path / "net.txt").read_bytes() == data
