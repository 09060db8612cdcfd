"""Datasets in the published layout: reading, keys, faulty files."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.datasets import (
    clips_and_names,
    make_image,
    save_image,
    truncate_file,
    write_published,
)
from toolchain.errors import FrameError
from toolchain.frames.dataset import Fault
from toolchain.frames.published_dataset import PublishedItem, read_published

SIZE = (64, 48)


def test_frames_are_resized_and_the_ground_truth_is_not(tmp_path: Path) -> None:
    """Clips are folders; src and bgr have the model's size, the ground truth its own."""
    root = write_published(tmp_path / "set", {"b": 1, "a": 2})
    dataset = read_published(root)
    assert (dataset.kind, dataset.name, dataset.seed) == ("published", "set", None)
    assert clips_and_names(dataset) == [("a", "a/0000"), ("a", "a/0001"), ("b", "b/0000")]
    sample = dataset.items[0].read().decode((80, 44))
    for pixels, folder in ((sample.src, "com"), (sample.bgr, "bgr")):
        with Image.open(root / folder / "a" / "0000.png") as image:
            expected = np.asarray(image.resize((80, 44), Image.Resampling.BILINEAR))
        assert np.array_equal(pixels, expected)
    with Image.open(root / "fgr" / "a" / "0000.png") as truth:
        rgba = np.asarray(truth)
    assert np.array_equal(np.dstack([sample.foreground, sample.alpha]), rgba)


def test_frames_outside_clips_belong_to_a_clip_named_after_the_dataset(tmp_path: Path) -> None:
    """The three folders may contain the files themselves."""
    dataset = read_published(write_published(tmp_path / "set", {".": 2}))
    assert clips_and_names(dataset) == [("set", "0000"), ("set", "0001")]
    assert all(isinstance(item, PublishedItem) for item in dataset.items)


def test_the_key_depends_on_the_content_alone(tmp_path: Path) -> None:
    """It changes with each of the three files, not with the folder, and items can be pickled."""
    first = read_published(write_published(tmp_path / "a", {"c": 1})).items[0]
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    second = read_published(tmp_path / "b").items[0]
    keys = {first.read().key}
    assert {second.read().key} == keys
    assert pickle.loads(pickle.dumps(first)).read().key in keys
    for folder in ("com", "bgr", "fgr"):
        path = tmp_path / "b" / folder / "c" / "0000.png"
        with Image.open(path) as image:
            changed = np.array(image)
        changed[0, 0, 0] ^= 1
        Image.fromarray(changed).save(path)
        keys.add(second.read().key)
    assert len(keys) == 4


def empty(path: Path) -> None:
    path.write_bytes(b"")


def no_image(path: Path) -> None:
    path.write_text("not an image")


def half_size(path: Path) -> None:
    with Image.open(path) as image:
        half = image.resize((80, 48))
    half.save(path)


def missing(path: Path) -> None:
    path.unlink()


REASONS = {
    truncate_file: "cannot read the image",
    empty: "cannot read the image",
    no_image: "cannot read the image: unknown image format",
    half_size: "has",
    missing: "",
}


@pytest.mark.parametrize("folder", ["com", "bgr", "fgr"])
@pytest.mark.parametrize("spoil", REASONS, ids=lambda spoil: spoil.__name__)
def test_a_faulty_file_is_found_by_inspection_and_by_decoding(
    spoil: Callable[[Path], None], folder: str, tmp_path: Path
) -> None:
    """Both name the file and the reason."""
    root = write_published(tmp_path / "set", {"c": 2})
    item = read_published(root).items[1]
    spoil(root / folder / "c" / "0001.png")
    for attempt in (item.inspect, lambda: item.read().decode(SIZE)):
        with pytest.raises(FrameError) as caught:
            attempt()
        fault = Fault.from_error(caught.value, item.name, root)
        assert fault.file.endswith("c/0001.png")
        assert spoil is half_size or fault.file == f"{folder}/c/0001.png"
        assert fault.reason.startswith(REASONS[spoil])
    if spoil is missing:
        dataset = read_published(root)
        assert [str(fault) for fault in dataset.faults] == [f"{folder}/c/0001: is missing"]
        assert clips_and_names(dataset) == [("c", "c/0000")]


def test_damage_in_the_middle_of_a_file_is_found_by_decoding(tmp_path: Path) -> None:
    """Inspection cannot find it, since the end marker is present."""
    root = write_published(tmp_path / "set", {"c": 1})
    item = read_published(root).items[0]
    path = root / "com" / "c" / "0000.png"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    item.inspect()
    with pytest.raises(FrameError, match="cannot read the image"):
        item.read().decode(SIZE)


def test_ground_truth_without_alpha_is_refused(tmp_path: Path) -> None:
    """Inspection and decoding both name the file."""
    root = write_published(tmp_path / "set", {"c": 1})
    save_image(root / "fgr" / "c" / "0000.png", make_image(1, (160, 96)))
    (item,) = read_published(root).items
    for attempt in (item.inspect, lambda: item.read().decode(SIZE)):
        with pytest.raises(FrameError, match=r"0000\.png: has no alpha channel"):
            attempt()


def test_a_plate_that_frames_share_is_decoded_once(tmp_path: Path) -> None:
    """Plates with the same bytes give the same array."""
    root = write_published(tmp_path / "set", {"c": 2})
    shutil.copy(root / "bgr" / "c" / "0000.png", root / "bgr" / "c" / "0001.png")
    one, other = (item.read().decode(SIZE) for item in read_published(root).items)
    assert one.bgr is other.bgr
    assert not np.array_equal(one.src, other.src)
