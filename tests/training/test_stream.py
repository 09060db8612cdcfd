"""Whole frames for training, and the patches cut out of them."""

from __future__ import annotations

from contextlib import closing

import pytest
import torch

from toolchain.network.matting import MattingNetwork
from toolchain.network.resize import bilinear
from toolchain.progress import SilentListener
from training import stream
from training.patches import chosen, refined
from training.pool import Pool, make_pool
from training.recipe import Pictures
from training.steps import _middle
from training.stream import Frames, Stream, held_out

SIZE = (96, 160)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return make_pool(7, Pictures(3, 2, (160, 96)), SilentListener())


def frames(count: int = 2, height: int = 64, width: int = 96) -> Frames:
    """Noise."""
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randint(0, 256, (count, 10, height, width), generator=generator)
    planes = drawn.to(torch.uint8)
    return Frames(planes[:, :6], planes[:, 6:7], planes[:, 7:])


def test_a_stream_taken_up_later_gives_the_same_batches(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on at a step sees what it would have seen, old frames having made room."""
    monkeypatch.setattr(stream, "WINDOW", 5)
    monkeypatch.setattr(stream, "FIRST", 3)
    with closing(Stream(1, pool, SIZE, 0, "cpu")) as whole:
        batches = [whole.batch(step, 2) for step in range(8)]
    with closing(Stream(1, pool, SIZE, 6, "cpu")) as later:
        again = [later.batch(step, 2) for step in (6, 7)]
    for one, other in zip(batches[6:], again, strict=True):
        assert all(
            torch.equal(getattr(one, name), getattr(other, name))
            for name in ("both", "alpha", "foreground")
        )
    assert not torch.equal(batches[0].both, batches[7].both)
    assert batches[0].both.shape == (2, 6, *SIZE)
    assert batches[0].both.dtype == torch.uint8


def test_frames_hold_their_truth(pool: Pool) -> None:
    """Outside of alpha the frame is close to the room, inside it is the foreground."""
    with closing(Stream(2, pool, SIZE, 0, "cpu")) as made:
        batch = made.batch(0, 12)
    solid = (batch.alpha == 255).expand(-1, 3, -1, -1)
    difference = (batch.both[:, :3].float() - batch.foreground.float()).abs()
    assert difference[solid].mean() < 6
    assert 0.02 < float((batch.alpha > 127).float().mean()) < 0.9


def test_what_is_measured_is_never_trained_on(pool: Pool) -> None:
    """The held-out composites are the same each time, and none of the stream's."""
    first, again = held_out(2, SIZE), held_out(2, SIZE)
    assert torch.equal(first[1].both, again[1].both)
    with closing(Stream(1, pool, SIZE, 0, "cpu")) as made:
        batch = made.batch(0, 12)
    for frame in first:
        assert not any(torch.equal(frame.both[0], other) for other in batch.both)
        assert not any(torch.equal(frame.both[0].flip(-1), other) for other in batch.both)


def test_patches_are_refined_as_the_network_does_it() -> None:
    """Cut out of bytes, alpha and foreground are those of the published form."""
    torch.manual_seed(3)
    network = MattingNetwork().eval()
    network.decoder.conv4.bias.data[4] += 0.5  # err: some of it above zero, whatever was drawn
    given = frames()
    both = given.both / 255
    with torch.inference_mode():
        out = network(both[:, :3], both[:, 3:])
        cells = chosen(out.ref_sm, 1000, torch.rand(2, 16, 24))
        patches = refined(
            network.refiner, given, torch.cat([out.hid_sm, out.pha_sm, out.res_sm], 1), cells
        )
    assert len(cells) > 100
    for index, (batch, row, column) in enumerate(cells.tolist()):
        place = batch, slice(None), slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4)
        expected = out.refined[place].clone()
        expected[1:] += both[place][:3]
        assert torch.allclose(patches.alpha[index], expected[0], atol=1e-6)
        assert torch.allclose(patches.foreground[index], expected[1:], atol=1e-6)
        assert torch.allclose(patches.true_alpha[index], given.alpha[place][0] / 255)
        assert torch.allclose(patches.true_foreground[index], given.foreground[place] / 255)


def test_cells_are_chosen_inside_and_at_most_so_many() -> None:
    """Only refined cells, none whose halo leaves the frame, those of the lowest order first."""
    ref = torch.zeros(1, 1, 12, 12)
    ref[0, 0, 1:7, 3:9] = 1
    order = torch.arange(144.0).reshape(1, 12, 12)
    cells = chosen(ref, 4, order)
    assert cells.tolist() == [[0, 2, 3], [0, 2, 4], [0, 2, 5], [0, 2, 6]]
    assert len(chosen(ref, 1000, order)) == 5 * 6


def test_whole_frames_are_downsampled_as_the_network_does_it() -> None:
    """What the base network learns on is what it is given in the end."""
    given = frames()
    assert torch.allclose(_middle(given.both), bilinear(given.both / 255, (16, 24)), atol=1e-6)
