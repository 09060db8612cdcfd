"""Datasets: every form that people have on disk, and every way in which a frame can be bad."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SAMPLES
from tests.support.datasets import cut_off, write_published
from toolchain.errors import FrameError
from toolchain.frames.composited import CompositedItem, composite
from toolchain.frames.dataset import Dataset, fault_of
from toolchain.frames.datasets import generated, open_dataset
from toolchain.frames.published import PublishedItem

SIZE = (64, 48)


def picture(seed: int, size: tuple[int, int] = SIZE, mode: str = "RGB") -> Image.Image:
    random = np.random.default_rng(seed)
    shape = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    coarse = random.integers(0, 256, (6, 8, *shape), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)


def save(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """A folder of backgrounds of several sizes and formats."""
    for number, size in enumerate([(100, 40), (40, 100), (64, 48), (30, 30), (90, 70)]):
        save(
            tmp_path / "rooms" / f"{number}.{'jpg' if number % 2 else 'png'}", picture(number, size)
        )
    return tmp_path / "rooms"


def names(dataset: Dataset) -> list[tuple[str, str]]:
    return [(item.clip, item.name) for item in dataset.items]


def test_the_published_layout(tmp_path: Path) -> None:
    """Clips are folders; src and bgr are resized to the model, the truth is left as it is."""
    root = write_published(tmp_path / "set", {"b": 1, "a": 2})
    dataset = open_dataset(root, None, 1)
    assert (dataset.kind, dataset.name, dataset.seed) == ("published", "set", None)
    assert names(dataset) == [("a", "a/0000"), ("a", "a/0001"), ("b", "b/0000")]
    sample = dataset.items[0].read().sample((80, 44))
    for ours, folder in ((sample.src, "com"), (sample.bgr, "bgr")):
        with Image.open(root / folder / "a" / "0000.png") as whole:
            expected = np.asarray(whole.resize((80, 44), Image.Resampling.BILINEAR))
        assert np.array_equal(ours, expected)
    with Image.open(root / "fgr" / "a" / "0000.png") as truth:
        rgba = np.asarray(truth)
    assert np.array_equal(np.dstack([sample.foreground, sample.alpha]), rgba)


def test_rgba_cutouts_over_backgrounds(tmp_path: Path, rooms: Path) -> None:
    """com = A F + (1 - A) B to the nearest byte, B cut to the frame's shape; clips share one B."""
    for name in ("one/1", "one/2", "two/1", "lone", "other"):
        save(tmp_path / "set" / f"{name}.png", picture(len(name), mode="RGBA"))
    dataset = open_dataset(tmp_path / "set", rooms, 3)
    assert (dataset.kind, dataset.seed) == ("composited", 3)
    assert names(dataset) == [
        ("set", "lone"),
        ("one", "one/1"),
        ("one", "one/2"),
        ("set", "other"),
        ("two", "two/1"),
    ]
    for item in dataset.items:
        assert isinstance(item, CompositedItem)
        sample = item.read().sample(SIZE)
        with Image.open(item.foreground) as cutout:
            rgba = np.asarray(cutout).astype(float)
        cover = rgba[..., 3:] / 255
        exact = cover * rgba[..., :3] + (1 - cover) * sample.bgr
        assert np.abs(sample.src - exact).max() <= 0.5 + 1e-9
        assert np.array_equal(sample.alpha, rgba[..., 3])
    behind = {item.name: item.background for item in dataset.items}  # type: ignore[attr-defined]
    assert behind["one/1"] == behind["one/2"]


def test_the_pairing_is_drawn_from_seed_and_name(tmp_path: Path, rooms: Path) -> None:
    """The same again for the same seed, other for another, and no frame changes it for others."""
    for number in range(12):
        save(tmp_path / "set" / f"{number}.png", picture(number, mode="RGBA"))

    def pairs(seed: int) -> dict[str, Path]:
        dataset = open_dataset(tmp_path / "set", rooms, seed)
        return {item.name: item.background for item in dataset.items}  # type: ignore[attr-defined]

    before = pairs(1)
    assert before == pairs(1)
    assert before != pairs(2)
    assert len(set(before.values())) > 1
    (tmp_path / "set" / "0.png").unlink()
    assert pairs(1) == {name: path for name, path in before.items() if name != "0"}


def test_every_byte_is_composited_to_the_nearest() -> None:
    """All 256 covers of all 256 values over all of some others are what division gives."""
    alpha, colour = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for behind in (0, 1, 100, 254, 255):
        colours = np.repeat(colour[..., None], 3, 2)
        found = composite(colours, alpha, np.full_like(colours, behind))
        exact = (alpha / 255) * colour + (1 - alpha / 255) * behind
        assert np.abs(found[..., 0] - exact).max() <= 0.5 + 1e-9


def side_by_side(root: Path) -> None:
    for number in (1, 2):
        save(root / f"fgr_{number:03}.png", picture(number))
        save(root / f"pha_{number:03}.png", picture(number, mode="L"))


def two_folders(root: Path) -> None:
    for number in (1, 2):
        save(root / "fgr" / "c" / f"{number}.jpg", picture(number))
        save(root / "pha" / "c" / f"{number}.png", picture(number, mode="L"))


def cutouts_in_fgr(root: Path) -> None:
    for number in (1, 2):
        save(root / "fgr" / f"{number}.png", picture(number, mode="RGBA"))


def photographs_beside_cutouts(root: Path) -> None:
    for number in (1, 2):
        save(root / "clip_img" / "g" / f"{number}.jpg", picture(number))
        save(root / "matting" / "g" / f"{number}.png", picture(number, mode="RGBA"))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (side_by_side, [("set", "001"), ("set", "002")]),
        (two_folders, [("c", "c/1"), ("c", "c/2")]),
        (cutouts_in_fgr, [("set", "1"), ("set", "2")]),
        (photographs_beside_cutouts, [("g", "g/1"), ("g", "g/2")]),
    ],
)
def test_foregrounds_as_people_have_them(
    make: Callable[[Path], None], expected: list[tuple[str, str]], tmp_path: Path, rooms: Path
) -> None:
    """Pairs side by side, in two folders, cutouts alone or beside the photographs; all load."""
    make(tmp_path / "set")
    dataset = open_dataset(tmp_path / "set", rooms, 1)
    assert names(dataset) == expected
    assert dataset.faults == ()
    for item in dataset.items:
        item.inspect()
        sample = item.read().sample((40, 32))
        assert sample.src.shape == sample.bgr.shape == (32, 40, 3)
        assert sample.alpha.shape == SIZE[::-1]


def test_plates_of_the_same_name_are_used_as_they_are(tmp_path: Path) -> None:
    """A plate in bgr/ with the foreground's name is its own; the others are a pool."""
    two_folders(tmp_path / "set")
    plate = save(tmp_path / "set" / "bgr" / "c" / "1.png", picture(77))
    dataset = open_dataset(tmp_path / "set", None, 1)
    first, second = dataset.items
    assert np.array_equal(first.read().sample(SIZE).bgr, np.asarray(picture(77)))
    assert second.background == plate.resolve()  # type: ignore[attr-defined]
    save(plate, picture(77, (32, 24)))
    with pytest.raises(FrameError, match=r"1\.png: has 32x24 pixels, 1\.jpg beside it has 64x48"):
        first.inspect()
    with pytest.raises(FrameError, match="has 32x24 pixels"):
        first.read().sample(SIZE)


def test_generated_frames_are_a_dataset_too() -> None:
    """The same composites as the validation's, at the model's own size."""
    dataset = generated(3, 2026)
    assert [item.name for item in dataset.items] == [f"composite-{2026 + n}" for n in range(3)]
    sample = dataset.items[1].read().sample((64, 48))
    assert sample.src.shape == (48, 64, 3)
    assert sample.alpha.dtype == np.float32


def test_a_frame_is_known_by_its_content(tmp_path: Path) -> None:
    """Its key changes with any of its files and not with where it lies; it can be sent away."""
    first = open_dataset(write_published(tmp_path / "a", {"c": 1}), None, 1).items[0]
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    second = open_dataset(tmp_path / "b", None, 1).items[0]
    keys = {first.read().key}
    assert {second.read().key} == keys
    assert pickle.loads(pickle.dumps(first)).read().key in keys
    for folder in ("com", "bgr", "fgr"):
        path = tmp_path / "b" / folder / "c" / "0000.png"
        with Image.open(path) as whole:
            changed = np.array(whole)
        changed[0, 0, 0] ^= 1
        Image.fromarray(changed).save(path)
        keys.add(second.read().key)
    assert len(keys) == 4


def truncated(path: Path) -> None:
    cut_off(path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def no_picture(path: Path) -> None:
    path.write_text("not a picture")


def mis_sized(path: Path) -> None:
    with Image.open(path) as whole:
        half = whole.resize((80, 48))
    half.save(path)


def gone(path: Path) -> None:
    path.unlink()


SAYS = {
    truncated: "not a whole picture",
    empty: "not a whole picture",
    no_picture: "not a whole picture: no known format",
    mis_sized: "has",
    gone: "",
}


@pytest.mark.parametrize("folder", ["com", "bgr", "fgr"])
@pytest.mark.parametrize("spoil", SAYS, ids=lambda spoil: spoil.__name__)
def test_a_bad_file_is_seen_by_a_look_and_by_reading(
    spoil: Callable[[Path], None], folder: str, tmp_path: Path
) -> None:
    """Truncated, empty, no picture, mis-sized or gone: both ways name the file and the reason."""
    root = write_published(tmp_path / "set", {"c": 2}).resolve()
    item = open_dataset(root, None, 1).items[1]
    spoil(root / folder / "c" / "0001.png")
    for attempt in (item.inspect, lambda: item.read().sample(SIZE)):
        with pytest.raises(FrameError) as caught:
            attempt()
        fault = fault_of(caught.value, item.name, root)
        assert fault.file.endswith("c/0001.png")
        assert spoil is mis_sized or fault.file == f"{folder}/c/0001.png"
        assert fault.reason.startswith(SAYS[spoil])
    if spoil is gone:
        dataset = open_dataset(root, None, 1)
        assert [str(fault) for fault in dataset.faults] == [f"{folder}/c/0001: is missing"]
        assert names(dataset) == [("c", "c/0000")]


def test_damage_inside_a_file_is_found_when_it_is_read(tmp_path: Path) -> None:
    """A picture whose end is there and whose middle is not passes the look, never the reading."""
    root = write_published(tmp_path / "set", {"c": 1}).resolve()
    item = open_dataset(root, None, 1).items[0]
    path = root / "com" / "c" / "0000.png"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    item.inspect()
    with pytest.raises(FrameError, match="not a whole picture"):
        item.read().sample(SIZE)


def test_bytes_after_the_end_do_no_harm(tmp_path: Path) -> None:
    """Some cameras append their own; the picture is whole all the same."""
    path = save(tmp_path / "set" / "a.png", picture(1, mode="RGBA"))
    path.write_bytes(path.read_bytes() + b"more")
    save(tmp_path / "rooms" / "b.jpg", picture(2))
    open_dataset(tmp_path / "set", tmp_path / "rooms", 1).items[0].inspect()


def test_truth_without_alpha_is_bad(tmp_path: Path, rooms: Path) -> None:
    """In each form, a truth without a matte is refused by a look and by reading."""
    root = write_published(tmp_path / "set", {"c": 1}).resolve()
    save(root / "fgr" / "c" / "0000.png", picture(1, (160, 96)))
    save(tmp_path / "cutouts" / "a.png", picture(1))
    for dataset in (open_dataset(root, None, 1), open_dataset(tmp_path / "cutouts", rooms, 1)):
        (item,) = dataset.items
        for attempt in (item.inspect, lambda item=item: item.read().sample(SIZE)):
            with pytest.raises(FrameError, match="has no alpha channel"):
                attempt()


@pytest.mark.parametrize("form", ["folders", "side by side"])
def test_half_a_pair_is_a_fault(form: str, tmp_path: Path, rooms: Path) -> None:
    """A foreground without matte and a matte without foreground are both listed."""
    root = tmp_path / "set"
    if form == "folders":
        two_folders(root)
        halves = root / "pha" / "c" / "1.png", root / "fgr" / "c" / "2.jpg"
        expected = ["pha/c/1: is missing", "fgr/c/2: is missing"]
    else:
        side_by_side(root)
        halves = root / "pha_001.png", root / "fgr_002.png"
        expected = ["pha_001: is missing", "fgr_002: is missing"]
    for path in halves:
        path.unlink()
    dataset = open_dataset(root, rooms, 1)
    assert dataset.items == ()
    assert [str(fault) for fault in dataset.faults] == expected


def test_folders_that_hold_no_dataset_are_refused(tmp_path: Path, rooms: Path) -> None:
    """Nothing there, nothing in it, no backgrounds, two of one name, plates twice over."""
    with pytest.raises(FrameError, match="is not a folder"):
        open_dataset(tmp_path / "none", None, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FrameError, match="holds no frames with known truth"):
        open_dataset(tmp_path / "empty", rooms, 1)
    side_by_side(tmp_path / "set")
    with pytest.raises(FrameError, match="holds no backgrounds") as caught:
        open_dataset(tmp_path / "set", None, 1)
    assert "--backgrounds" in caught.value.hint
    save(tmp_path / "set" / "fgr_001.jpg", picture(1))
    with pytest.raises(FrameError, match=r"has the name of fgr_001\.jpg beside it"):
        open_dataset(tmp_path / "set", rooms, 1)
    published = write_published(tmp_path / "published", {"c": 1})
    with pytest.raises(FrameError, match=r"plates .* of its own"):
        open_dataset(published, rooms, 1)
    for folder in ("com", "bgr", "fgr"):
        shutil.rmtree(published / folder)
        (published / folder).mkdir()
    with pytest.raises(FrameError, match="are empty"):
        open_dataset(published, None, 1)


def test_a_plate_shared_by_a_clip_is_decoded_once(tmp_path: Path) -> None:
    """Files of the same bytes give the very same array."""
    root = write_published(tmp_path / "set", {"c": 2})
    shutil.copy(root / "bgr" / "c" / "0000.png", root / "bgr" / "c" / "0001.png")
    one, other = (item.read().sample(SIZE) for item in open_dataset(root, None, 1).items)
    assert one.bgr is other.bgr
    assert not np.array_equal(one.src, other.src)


def test_real_foregrounds_load() -> None:
    """JPEG pairs side by side, as found in the wild."""
    folder, rooms = SAMPLES / "mattes", SAMPLES / "capture"
    if not folder.is_dir():
        pytest.skip(f"no real frames in {folder}")
    dataset = open_dataset(folder, rooms, 1)
    assert len(dataset.items) == 2
    for item in dataset.items:
        item.inspect()
        sample = item.read().sample((320, 192))
        assert 0 < (sample.alpha > 127).mean() < 1


def test_published_items_are_told_apart(tmp_path: Path) -> None:
    """Frames that lie in no clip belong to one named like the dataset."""
    root = write_published(tmp_path / "set", {".": 2})
    dataset = open_dataset(root, None, 1)
    assert names(dataset) == [("set", "0000"), ("set", "0001")]
    assert all(isinstance(item, PublishedItem) for item in dataset.items)
