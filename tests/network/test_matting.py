"""The network is the published one: by its facts, and by a second implementation."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tests.support.weights import make_frames, plausible_state
from toolchain.definitions.refinement import REFINE_MODE_KEYS, RefineMode
from toolchain.network.folding import fold
from toolchain.network.matting import MattingNetwork, Outputs
from toolchain.network.profile import profile
from toolchain.network.refiner import Selection

PUBLISHED = Path(__file__).with_name("published_state_dict.txt")


def make_network(selection: Selection | None = None, *, static: bool = False) -> MattingNetwork:
    made = MattingNetwork(selection=selection, static=static)
    made.load_state_dict(plausible_state(3))
    return made.eval()


def run(net: MattingNetwork, src: Tensor, bgr: Tensor) -> Outputs:
    with torch.no_grad():
        outputs = net(src, bgr)
    assert isinstance(outputs, Outputs)
    return outputs


def test_keys_and_shapes_are_the_published_ones_in_the_published_order() -> None:
    """The state dict has the 382 published entries, in order."""
    lines = [
        f"{key} {'x'.join(map(str, value.shape)) or 'scalar'}"
        for key, value in MattingNetwork().state_dict().items()
    ]
    assert lines == PUBLISHED.read_text().splitlines()


def test_parameters_and_flops_are_the_published_ones() -> None:
    """The counts are those of the published network."""
    counted = profile()
    assert counted.entries == 382
    assert counted.parameters == 5_006_839
    assert counted.elements == 5_042_110
    gigaflops = [
        round(value / 1e9, 3)
        for value in (
            counted.backbone_flops,
            counted.aspp_flops,
            counted.decoder_flops,
            counted.base_flops,
            counted.refiner_flops,
            counted.flops,
        )
    ]
    assert gigaflops == [1.124, 1.258, 4.308, 6.690, 4.743, 11.434]


def test_outputs_have_their_shapes_and_ranges() -> None:
    """Alpha and foreground have the size of the frame, the coarse ones a quarter; all are 0..1."""
    src, bgr = make_frames(0, 320, 192)
    out = run(make_network(), src, bgr)
    assert out.pha.shape == (1, 1, 192, 320)
    assert out.fgr.shape == (1, 3, 192, 320)
    assert out.pha_sm.shape == out.err_sm.shape == out.ref_sm.shape == (1, 1, 48, 80)
    assert out.fgr_sm.shape == (1, 3, 48, 80)
    for value in out[:6]:  # those between the stages are not clamped
        assert float(value.min()) >= 0
        assert float(value.max()) <= 1


def refine_patch(net: MattingNetwork, src: Tensor, bgr: Tensor, row: int, column: int) -> Tensor:
    """One 4x4 patch from first principles: windows of padded maps, four plain convolutions."""
    refiner = net.refiner
    height, width = src.shape[2:]
    both = torch.cat([src, bgr], 1)

    def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
        return functional.interpolate(x, size, mode="bilinear", align_corners=False)

    base = net.base(resize(both, (height // 4, width // 4)))
    half_size = (height // 2, width // 2)
    half = torch.cat(
        [resize(torch.cat([base.hid, base.pha, base.fgr], 1), half_size), resize(both, half_size)],
        1,
    )
    half = functional.pad(half, (3, 3, 3, 3))[..., 2 * row : 2 * row + 8, 2 * column :][..., :8]
    full = functional.pad(both, (2, 2, 2, 2))[..., 4 * row : 4 * row + 8, 4 * column :][..., :8]

    def normed(x: Tensor, weight: Tensor, bn: torch.nn.BatchNorm2d) -> Tensor:
        x = functional.conv2d(x, weight)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        scale = bn.weight / torch.sqrt(bn.running_var + 1e-5)
        x = (x - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]
        return x.clamp(min=0)

    x = normed(half, refiner.conv1.weight, refiner.bn1)
    x = normed(x, refiner.conv2.weight, refiner.bn2)
    x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    x = normed(torch.cat([x, full], 1), refiner.conv3.weight, refiner.bn3)
    x = functional.conv2d(x, refiner.conv4.weight, refiner.conv4.bias)
    return torch.cat(
        [
            x[:, :1].clamp(0, 1),
            (x[:, 1:] + src[..., 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]).clamp(0, 1),
        ],
        1,
    )


@pytest.mark.parametrize("static", [False, True], ids=["per-patch", "everywhere"])
def test_each_form_of_the_refiner_gives_the_expected_patches(static: bool) -> None:
    """Both forms agree with a plain computation, at the corners, the borders and inside."""
    net = make_network(Selection("full"), static=static)
    src, bgr = make_frames(1, 128, 96)
    out = run(net, src, bgr)
    for row, column in [(0, 0), (0, 31), (23, 0), (23, 31), (0, 7), (11, 0), (12, 17)]:
        with torch.no_grad():
            expected = refine_patch(net, src, bgr, row, column)
        window = (slice(None), slice(None), slice(4 * row, 4 * row + 4))
        columns = slice(4 * column, 4 * column + 4)
        found = torch.cat([out.pha[window][..., columns], out.fgr[window][..., columns]], 1)
        assert float((found - expected).abs().max()) < 2e-6


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    mode=st.sampled_from(REFINE_MODE_KEYS),
    pixels=st.sampled_from([16, 160, 1600, 80_000]),
)
def test_dense_and_masked_equals_per_patch(seed: int, mode: RefineMode, pixels: int) -> None:
    """Refining everywhere and masking gives the per-patch numbers, for every selection."""
    selection = Selection(mode, pixels)
    src, bgr = make_frames(seed, 160, 96)
    sparse = run(make_network(selection), src, bgr)
    dense = run(make_network(selection, static=True), src, bgr)
    assert torch.equal(sparse.ref_sm, dense.ref_sm)
    assert float((sparse.pha - dense.pha).abs().max()) < 2e-6
    assert float((sparse.fgr - dense.fgr).abs().max()) < 2e-6


err_maps = st.one_of(
    st.just("zero"), st.just("equal"), st.integers(1, 40).map(lambda count: f"above:{count}")
)


@given(kind=err_maps, cells=st.integers(1, 60), seed=st.integers(0, 99))
def test_sampling_selects_the_cells_of_highest_err_above_zero(
    kind: str, cells: int, seed: int
) -> None:
    """The given number of cells, of highest err, without those whose err is 0."""
    generator = torch.Generator().manual_seed(seed)
    err = torch.zeros(1, 1, 6, 8)
    if kind == "equal":
        err += 0.5
    elif kind.startswith("above:"):
        places = torch.randperm(48, generator=generator)[: int(kind[6:])]
        err.view(-1)[places] = torch.rand(len(places), generator=generator) * 0.9 + 0.05
    chosen = Selection("sampling", cells * 16).choose(err)
    positive = int((err > 0).sum())
    assert int(chosen.sum()) == min(cells, 48, positive)
    if chosen.any() and not bool(chosen.all()):
        inside, outside = err[chosen > 0], err[chosen == 0]
        assert float(inside.min()) >= float(outside.max())
        assert float(inside.min()) > 0


@given(levels=st.integers(1, 4), cells=st.integers(1, 60), seed=st.integers(0, 99))
def test_of_equal_cells_the_first_are_selected(levels: int, cells: int, seed: int) -> None:
    """Ties go to the first cell, row by row, as in ONNX Runtime and OpenVINO."""
    generator = torch.Generator().manual_seed(seed)
    err = (1 + torch.randint(levels, (1, 1, 6, 8), generator=generator)) / levels
    chosen = Selection("sampling", cells * 16).choose(err).flatten()
    flat = err.flatten().tolist()
    order = sorted(range(48), key=lambda cell: (-flat[cell], cell))
    assert sorted(torch.nonzero(chosen).flatten().tolist()) == sorted(order[:cells])


def test_thresholding_selects_above_the_threshold_and_full_selects_all() -> None:
    """Thresholding is strict; full ignores err."""
    err = torch.tensor([[[[0.0, 0.1, 0.11, 1.0]]]])
    assert Selection("thresholding", threshold=0.1).choose(err).tolist() == [[[[0, 0, 1, 1]]]]
    assert Selection("full").choose(err).tolist() == [[[[1, 1, 1, 1]]]]


def test_more_pixels_select_a_superset() -> None:
    """Selections are nested as the number of pixels grows."""
    err = torch.rand(1, 1, 12, 20, generator=torch.Generator().manual_seed(2))
    maps = [Selection("sampling", 16 * count).choose(err) for count in (1, 5, 50, 240)]
    for small, large in pairwise(maps):
        assert bool((large >= small).all())


def test_folding_batchnorm_changes_no_output() -> None:
    """The folded network gives the same matte up to rounding."""
    src, bgr = make_frames(4, 160, 96)
    plain, folded = run(make_network(), src, bgr), run(fold(make_network()), src, bgr)
    same = (plain.ref_sm == folded.ref_sm).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert float(same.float().mean()) > 0.99
    assert float(((plain.pha - folded.pha).abs() * same).max()) < 2e-5
    assert not any("bn" in key for key in fold(make_network()).state_dict())
