"""The mosaic gives the published numbers, for every selection."""

from __future__ import annotations

import copy
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support.weights import make_frames, plausible_state
from toolchain.definitions.refinement import REFINE_MODE_KEYS
from toolchain.network.folding import fold
from toolchain.network.matting import MattingNetwork, Outputs
from toolchain.network.mosaic import MosaicMatting, is_mosaic_suitable
from toolchain.network.refiner import Selection

WIDTH, HEIGHT = 160, 96
CELLS = (WIDTH // 4) * (HEIGHT // 4)
BORDERS = [(0, 0), (0, 39), (23, 0), (23, 39), (0, 7), (11, 0), (23, 20), (12, 39), (12, 17)]


def make_network(seed: int, pixels: int, scale: float = 0.25) -> MattingNetwork:
    made = MattingNetwork(scale, Selection("sampling", pixels))
    made.load_state_dict(plausible_state(seed))
    return made.eval()


def stable_topk(values: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Top-k as in ONNX Runtime and OpenVINO; PyTorch's takes any of equal values."""
    found, where = values.sort(descending=True, stable=True)
    return torch.return_types.topk((found[:cells], where[:cells]))


def run_both(
    net: MattingNetwork, src: Tensor, bgr: Tensor, err: Tensor | None = None
) -> tuple[Outputs, Outputs]:
    """Run the published form and the mosaic; `err` replaces the decoder's, if given."""
    height, width = src.shape[2:]
    static = MosaicMatting(fold(copy.deepcopy(net)), width, height)
    if err is not None:
        net.decoder.register_forward_hook(lambda *call: replace_err(call[-1], err))
        static.decoder.register_forward_hook(
            lambda *call: (replace_err(call[-1][0], err), call[-1][1])
        )
    with torch.no_grad(), mock.patch.object(Tensor, "topk", stable_topk):
        return net(src, bgr), static(src, bgr)


def assert_same(published: Outputs, static: Outputs) -> None:
    assert torch.equal(published.ref_sm, static.ref_sm)
    for name in published._fields:
        one, other = getattr(published, name), getattr(static, name)
        assert one.shape == other.shape
        assert float((one - other).abs().max()) < 5e-6, name


def make_err(kind: str, cells: int, seed: int) -> Tensor:
    """Make a map: all zero, all equal, exactly `cells` above zero, or fewer."""
    generator = torch.Generator().manual_seed(seed)
    err = torch.zeros(CELLS)
    if kind == "equal":
        err += 0.5
    elif kind != "zero":
        count = cells if kind == "exactly" else max(1, cells // 3)
        places = torch.randperm(CELLS, generator=generator)[:count]
        err[places] = torch.rand(count, generator=generator) * 0.9 + 0.05
    return err.reshape(1, 1, HEIGHT // 4, WIDTH // 4)


def replace_err(output: Tensor, err: Tensor) -> Tensor:
    """Replace err in the output of the decoder."""
    return torch.cat([output[:, :4], err, output[:, 5:]], 1)


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
    """For any weights, frame and err, all outputs agree up to rounding."""
    err = make_err(kind, patches, frame)
    net = make_network(weights, 16 * patches)
    assert_same(*run_both(net, *make_frames(frame, WIDTH, HEIGHT), err))


@pytest.mark.parametrize("cell", BORDERS)
def test_one_patch_is_the_published_one_at_borders_and_corners(cell: tuple[int, int]) -> None:
    """Only the pixels of the patch change, at each corner, along each side, and inside."""
    err = torch.zeros(1, 1, HEIGHT // 4, WIDTH // 4)
    err[0, 0, cell[0], cell[1]] = 0.7
    src, bgr = make_frames(1, WIDTH, HEIGHT)
    published, static = run_both(make_network(3, 16 * 5), src, bgr, err)
    assert_same(published, static)
    assert torch.nonzero(static.ref_sm[0, 0]).tolist() == [list(cell)]
    untouched = run_both(make_network(3, 16 * 5), src, bgr, torch.zeros_like(err))[1]
    changed = (static.pha != untouched.pha)[0, 0].nonzero()
    assert 0 < len(changed) <= 16
    assert {(int(y) // 4, int(x) // 4) for y, x in changed} == {cell}


@pytest.mark.parametrize(
    ("width", "height", "scale"),
    [(176, 112, 0.25), (320, 192, 0.125), (160, 96, 0.5), (168, 120, 0.3), (132, 92, 0.25)],
)
def test_other_sizes_and_scales(width: int, height: int, scale: float) -> None:
    """Even, odd and fractional factors give the published numbers."""
    assert_same(*run_both(make_network(2, 16 * 50, scale), *make_frames(4, width, height)))


def test_it_is_suitable_if_the_patches_are_few() -> None:
    """At the published size; not if patches fill the frame or their number varies."""
    assert is_mosaic_suitable(make_network(0, 80_000), 1280, 720)
    assert is_mosaic_suitable(make_network(0, 320_000, 0.125), 3840, 2160)
    assert not is_mosaic_suitable(make_network(0, 80_000), 640, 360)
    for mode in set(REFINE_MODE_KEYS) - {"sampling"}:
        assert not is_mosaic_suitable(MattingNetwork(selection=Selection(mode)), 1280, 720)
