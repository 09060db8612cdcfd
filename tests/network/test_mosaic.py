"""The static form of the sampling network: the published numbers, whatever is selected where."""

from __future__ import annotations

import copy
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support.weights import picture, plausible_state
from toolchain.network.folding import fold
from toolchain.network.matting_refine import MattingNetwork, Outputs
from toolchain.network.mosaic import MosaicMatting, is_mosaic_suitable
from toolchain.network.refiner import Selection

WIDTH, HEIGHT = 160, 96
CELLS = (WIDTH // 4) * (HEIGHT // 4)
BORDERS = [(0, 0), (0, 39), (23, 0), (23, 39), (0, 7), (11, 0), (23, 20), (12, 39), (12, 17)]


def network(seed: int, pixels: int, scale: float = 0.25) -> MattingNetwork:
    made = MattingNetwork(scale, Selection("sampling", pixels))
    made.load_state_dict(plausible_state(seed))
    return made.eval()


def first_of_equals(values: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Top-k as ONNX Runtime and OpenVINO have it; PyTorch's takes any of equal values."""
    found, where = values.sort(descending=True, stable=True)
    return torch.return_types.topk((found[:cells], where[:cells]))


def both(
    net: MattingNetwork, src: Tensor, bgr: Tensor, err: Tensor | None = None
) -> tuple[Outputs, Outputs]:
    """The published form and the static one; `err`: a map instead of what the decoder gives."""
    height, width = src.shape[2:]
    static = MosaicMatting(fold(copy.deepcopy(net)), width, height)
    if err is not None:
        net.decoder.register_forward_hook(lambda *told: with_err(told[-1], err))
        static.decoder.register_forward_hook(
            lambda *told: (with_err(told[-1][0], err), told[-1][1])
        )
    with torch.no_grad(), mock.patch.object(Tensor, "topk", first_of_equals):
        return net(src, bgr), static(src, bgr)


def assert_same(published: Outputs, static: Outputs) -> None:
    assert torch.equal(published.ref_sm, static.ref_sm)
    for name in published._fields:
        one, other = getattr(published, name), getattr(static, name)
        assert one.shape == other.shape
        assert float((one - other).abs().max()) < 5e-6, name


def err_map(kind: str, cells: int, seed: int) -> Tensor:
    """err over the cells: all zero, all equal, exactly `cells` above zero, or fewer."""
    generator = torch.Generator().manual_seed(seed)
    err = torch.zeros(CELLS)
    if kind == "equal":
        err += 0.5
    elif kind != "zero":
        count = cells if kind == "exactly" else max(1, cells // 3)
        places = torch.randperm(CELLS, generator=generator)[:count]
        err[places] = torch.rand(count, generator=generator) * 0.9 + 0.05
    return err.reshape(1, 1, HEIGHT // 4, WIDTH // 4)


def with_err(given: Tensor, err: Tensor) -> Tensor:
    """What the decoder gives, its err replaced."""
    return torch.cat([given[:, :4], err, given[:, 5:]], 1)


@settings(max_examples=20, deadline=None)
@given(
    weights=st.integers(0, 20),
    frame=st.integers(0, 1000),
    kind=st.sampled_from(["zero", "equal", "exactly", "fewer"]),
    patches=st.sampled_from([1, 2, 7, 60, 97, 240]),
)
def test_every_selection_gives_the_published_numbers(
    weights: int, frame: int, kind: str, patches: int
) -> None:
    """For any weights, frame and err map, all six outputs agree to rounding."""
    err = err_map(kind, patches, frame)
    net = network(weights, 16 * patches)
    assert_same(*both(net, *picture(frame, WIDTH, HEIGHT), err))


@pytest.mark.parametrize("cell", BORDERS)
def test_a_patch_is_the_published_one_at_borders_and_corners(cell: tuple[int, int]) -> None:
    """One patch alone, at each corner, along each side, inside: its pixels and no others change."""
    err = torch.zeros(1, 1, HEIGHT // 4, WIDTH // 4)
    err[0, 0, cell[0], cell[1]] = 0.7
    src, bgr = picture(1, WIDTH, HEIGHT)
    published, static = both(network(3, 16 * 5), src, bgr, err)
    assert_same(published, static)
    assert torch.nonzero(static.ref_sm[0, 0]).tolist() == [list(cell)]
    untouched = both(network(3, 16 * 5), src, bgr, torch.zeros_like(err))[1]
    changed = (static.pha != untouched.pha)[0, 0].nonzero()
    assert 0 < len(changed) <= 16
    assert {(int(y) // 4, int(x) // 4) for y, x in changed} == {cell}


@pytest.mark.parametrize(
    ("width", "height", "scale"),
    [(176, 112, 0.25), (320, 192, 0.125), (160, 96, 0.5), (168, 120, 0.3), (132, 92, 0.25)],
)
def test_other_sizes_and_scales(width: int, height: int, scale: float) -> None:
    """Whole factors, odd ones and none: the numbers stay."""
    assert_same(*both(network(2, 16 * 50, scale), *picture(4, width, height)))


def test_it_is_used_where_the_patches_are_few() -> None:
    """At the published size it is; not where they fill the frame or their number is open."""
    assert is_mosaic_suitable(network(0, 80_000), 1280, 720)
    assert is_mosaic_suitable(network(0, 320_000, 0.125), 3840, 2160)
    assert not is_mosaic_suitable(network(0, 80_000), 640, 360)
    for mode in ("thresholding", "full"):
        assert not is_mosaic_suitable(MattingNetwork(selection=Selection(mode)), 1280, 720)  # type: ignore[arg-type]
