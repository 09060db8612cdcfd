"""Records of datasets: faults, digests, names of clips."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import FrameError
from toolchain.frames.dataset import Fault, digest, get_clip


def test_a_fault_names_the_file_relative_to_the_dataset() -> None:
    """Without a file it names the frame; a file elsewhere keeps its path."""
    root = Path("/data/set")
    inside = FrameError(f"{root / 'com' / 'a.png'}: is empty", path=root / "com" / "a.png")
    assert str(Fault.from_error(inside, "a", root)) == "com/a.png: is empty"
    outside = FrameError("/other/b.png: is empty", path=Path("/other/b.png"))
    assert Fault.from_error(outside, "a", root) == Fault("/other/b.png", "is empty")
    assert Fault.from_error(inside, "a", None) == Fault("/data/set/com/a.png", "is empty")
    assert Fault.from_error(FrameError("no memory"), "a", root) == Fault("a", "no memory")


def test_a_digest_depends_on_where_one_part_ends() -> None:
    """Text and its bytes have the same digest."""
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("ab") == digest(b"ab")


def test_a_clip_is_the_folder_part_of_the_name() -> None:
    """A frame without a folder part belongs to a clip named after the dataset."""
    assert get_clip("a/b/0001", Path("set")) == "a/b"
    assert get_clip("0001", Path("set")) == "set"
