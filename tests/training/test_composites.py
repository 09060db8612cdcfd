"""What is trained on: figures, rooms, plates and how they are put together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolchain.progress import SilentListener
from training import batches, plates
from training.batches import draw, in_bytes
from training.people import person, thing
from training.photographs import HELD_OUT, TRAINED_ON
from training.plates import plate_and_room
from training.pool import Pool, make_pool
from training.randomness import Randomness
from training.recipe import Pictures
from training.rooms import room

SIZE = (96, 160)
PICTURES = Pictures(12, 6, (320, 180))


@pytest.fixture(scope="module")
def pool() -> Pool:
    return make_pool(7, PICTURES, SilentListener())


def test_a_pool_is_the_same_for_the_same_seed(pool: Pool) -> None:
    """Drawn again in other processes, every picture has the same bytes; another seed differs."""
    again = make_pool(7, PICTURES, SilentListener())
    other = make_pool(8, PICTURES, SilentListener())
    assert torch.equal(pool.figures, again.figures)
    assert torch.equal(pool.rooms, again.rooms)
    assert not torch.equal(pool.figures, other.figures)


@pytest.mark.parametrize("draw_one", [person, thing])
def test_figures_have_bodies_edges_and_colours(
    draw_one: Callable[..., tuple[np.ndarray, ...]],
) -> None:
    """Mattes reach from 0 to 1 with values between; colours stay in range everywhere."""
    photographs = [TRAINED_ON[0].read()]
    covers = []
    for seed in range(8):
        alpha, colour = draw_one(np.random.default_rng(seed), 320, 180, photographs)
        assert alpha.shape == (180, 320)
        assert colour.shape == (180, 320, 3)
        assert alpha.dtype == colour.dtype == np.float32
        assert 0 <= alpha.min() <= alpha.max() <= 1
        assert 0 <= colour.min() <= colour.max() <= 1
        covers.append(alpha)
    together = np.stack(covers)
    assert (together > 0.95).mean() > 0.02
    assert ((together > 0.05) & (together < 0.95)).mean() > 0.002
    assert (together < 0.05).mean() > 0.3


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_rooms_are_pictures(seed: int) -> None:
    """Every kind of room keeps to size and range, and is no single colour."""
    picture = room(np.random.default_rng(seed), 160, 90, [TRAINED_ON[2].read()], 0.4)
    assert picture.shape == (90, 160, 3)
    assert picture.dtype == np.float32
    assert 0 <= picture.min() < picture.max() <= 1


def test_no_held_out_photograph_is_trained_on() -> None:
    """What the card judges by is not what was learnt, and every picture has a licence."""
    assert not {(p.package, p.path) for p in HELD_OUT} & {(p.package, p.path) for p in TRAINED_ON}
    assert all(photograph.licence for photograph in (*HELD_OUT, *TRAINED_ON))


def test_a_missing_package_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without scikit-image, the message names the extra to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=r"pip install"):
        TRAINED_ON[0].read()


def test_an_exact_plate_shows_the_room_of_the_frame(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where alpha is 0 and nothing is wrong, frame and plate are equal to the last bit."""
    monkeypatch.setattr(plates, "EXACT", 1.1)
    monkeypatch.setattr(plates, "SILENT", 1.1)
    batch = draw(pool, Randomness(1, 2, "cpu"), 6, SIZE, 2.0, 4.0)
    empty = (batch.alpha == 0).expand_as(batch.src)
    assert empty.any()
    assert torch.equal(batch.src[empty], batch.bgr[empty])
    full = (batch.alpha == 1).expand_as(batch.src)
    assert torch.allclose(batch.src[full], in_bytes(batch.foreground)[full])


def test_faulty_plates_differ_from_the_room(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any exact plate, all of them are off, by little in the mean."""
    monkeypatch.setattr(plates, "EXACT", 0.0)
    rooms = pool.rooms.float() / 255
    alpha = torch.zeros(len(rooms), 1, *rooms.shape[2:])
    plate, behind, noise = plate_and_room(rooms, alpha, Randomness(1, 3, "cpu"), 4.0)
    assert torch.equal(behind, rooms)  # no person, so no shadow
    differences = (plate - rooms).abs().mean((1, 2, 3))
    assert (differences > 0).all()
    assert (differences < 0.2).all()
    assert (noise >= 0).all()


def test_a_shadow_darkens_the_frame_alone(pool: Pool) -> None:
    """The room behind a figure is darker than it was in some samples, and never lighter."""
    rooms = (pool.rooms.float() / 255).repeat(4, 1, 1, 1)
    alpha = torch.zeros(len(rooms), 1, *rooms.shape[2:])
    alpha[:, :, 60:, 100:220] = 1
    _, behind, _ = plate_and_room(rooms, alpha, Randomness(1, 4, "cpu"), 1.0)
    darker = (rooms - behind).amax((1, 2, 3))
    assert (behind <= rooms).all()
    assert 0 < int((darker > 0.02).sum()) < len(rooms)


@given(step=st.integers(0, 1000), zoom=st.floats(1.0, 4.0))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_batches_repeat_and_keep_their_ranges(pool: Pool, step: int, zoom: float) -> None:
    """The same seed and step give the same batch; all values are within 0..1."""
    one, other = (draw(pool, Randomness(5, step, "cpu"), 2, (48, 80), zoom, 4.0) for _ in "ab")
    for name in ("src", "bgr", "alpha", "foreground"):
        values = getattr(one, name)
        assert torch.equal(values, getattr(other, name))
        assert float(values.min()) >= 0
        assert float(values.max()) <= 1 + 1e-6


def test_a_second_figure_adds_to_the_first(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a second figure, alpha is nowhere smaller."""
    monkeypatch.setattr(batches, "EMPTY", 0.0)
    monkeypatch.setattr(batches, "PAIRED", 0.0)
    alone = draw(pool, Randomness(1, 9, "cpu"), 6, SIZE, 2.0, 4.0)
    monkeypatch.setattr(batches, "PAIRED", 1.1)
    paired = draw(pool, Randomness(1, 9, "cpu"), 6, SIZE, 2.0, 4.0)
    assert (paired.alpha >= alone.alpha - 1e-6).all()
    assert (paired.alpha > alone.alpha + 0.5).any()


def test_a_pool_may_hold_more_veils() -> None:
    """With a share of 1 every figure of the pool is semi-transparent all over."""
    pool = make_pool(
        7, Pictures(6, 1, (320, 180), people=0.0, things=0.0, veils=1.0), SilentListener()
    )
    assert all(0.1 < float(figure[3].max()) / 255 < 0.95 for figure in pool.figures)
