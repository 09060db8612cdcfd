"""Each architecture is complete: a place left out when a backbone is added fails here."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import onnx
import openvino
import pytest
import torch
from torch import Tensor, nn

from tests.support.weights import save_checkpoint
from toolchain.catalog.arguments import ConversionSettings, ExportSettings
from toolchain.checkpoints.load import load_network
from toolchain.definitions.architecture import (
    ARCHITECTURES,
    MOBILENETV2,
    RESIZE_CONVOLUTIONS,
    Architecture,
    find_architecture,
)
from toolchain.definitions.refinement import REFINE_MODE_KEYS
from toolchain.errors import ExportError
from toolchain.network.backbones import BACKBONES
from toolchain.network.backbones.features import Features
from toolchain.network.refiner import Selection
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest, Float32Constants
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest
from toolchain.stages.quantize.layers import find_convolutions, is_in_layers, list_convolution_nodes


class TinyEncoder(nn.Module):
    """A small backbone with the interface of the others."""

    def __init__(self) -> None:
        super().__init__()
        channels = (6, 8, 8, 8, 10)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after))
            for before, after in pairwise(channels)
        )

    def forward(self, x: Tensor) -> Features:
        maps = [x]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return Features(*maps)


TINY = replace(
    MOBILENETV2,
    key="tiny",
    model_name="background-matting-tiny",
    encoder_channels=10,
    shortcut_channels=(8, 8, 8, 6),
    aspp_channels=12,
    decoder_channels=(11, 10, 9),
    hidden_channels=7,
    onnx_limit=1_000_000,
)


@pytest.fixture(params=[*ARCHITECTURES.values(), TINY], ids=lambda record: record.key)
def architecture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Architecture:
    """Every record, and one more that is only a record and a backbone."""
    monkeypatch.setitem(ARCHITECTURES, TINY.key, TINY)
    monkeypatch.setitem(BACKBONES, TINY.key, TinyEncoder)
    return request.param  # type: ignore[no-any-return]


def test_every_record_has_a_backbone_and_every_backbone_a_record() -> None:
    """`BACKBONES` and `ARCHITECTURES` have the same keys."""
    assert list(BACKBONES) == list(ARCHITECTURES)
    assert all(key == record.key for key, record in ARCHITECTURES.items())


def test_features_have_the_channels_and_strides_of_the_record(architecture: Architecture) -> None:
    """The backbone's features fit what ASPP and decoder are built for."""
    backbone = BACKBONES[architecture.key]().eval()
    with torch.no_grad():
        features = backbone(torch.rand(1, 6, 64, 96))
    assert isinstance(features, Features)
    channels = (architecture.encoder_channels, *architecture.shortcut_channels)
    for feature, count, stride in zip(reversed(features), channels, (16, 8, 4, 2, 1), strict=True):
        assert feature.shape == (1, count, 64 // stride, 96 // stride)


def test_the_architecture_is_found_by_name_and_by_checkpoint(
    architecture: Architecture, tmp_path: Path
) -> None:
    """The name of a model contains the key; a checkpoint loads into its own network."""
    assert find_architecture(architecture.model_name) is architecture
    assert find_architecture(f"{architecture.model_name}-bundled") is architecture
    assert find_architecture("my-matting") is MOBILENETV2
    network = load_network(save_checkpoint(tmp_path / "weights.pth", 1, architecture))
    assert network.architecture is architecture


def test_special_layers_exist_in_the_exported_and_converted_graph(
    architecture: Architecture, tmp_path: Path
) -> None:
    """Float32 and ignored layers, and the resizes, are in the graph under these names."""
    checkpoint = save_checkpoint(tmp_path / "weights.pth", 1, architecture)
    settings, path = ExportSettings(320, 192, sample_pixels=8_000), tmp_path / "m.onnx"
    export(ExportRequest(checkpoint, path, settings, ()))
    graph = onnx.load(path).graph
    assert graph.name == architecture.model_name
    constants = [item.name for item in graph.initializer]
    for layer in architecture.float32_layers:
        assert any(Float32Constants(layers=(layer,)).include(name, 10**9) for name in constants)
    for name in RESIZE_CONVOLUTIONS:
        assert any(node.name.startswith(f"{name}/") for node in graph.node)
    xml = tmp_path / "m.xml"
    convert(
        ConvertRequest(
            path,
            xml,
            "FP16",
            ConversionSettings(scale=(("src", (255.0,)), ("bgr", (255.0,)))),
            (),
            float32_constants=Float32Constants.from_architecture(architecture),
        )
    )
    model = openvino.Core().read_model(xml)
    layers = find_convolutions(model)
    assert 0 < len(layers) < len(list_convolution_nodes(model))  # without the resizes
    for layer in architecture.ignored_layers:
        assert any(is_in_layers(name, (layer,)) for name in layers.values())


def test_a_file_over_the_limit_is_an_error(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path, tmp_path: Path
) -> None:
    """The largest size of the ONNX is the record's."""
    small = replace(MOBILENETV2, onnx_limit=1_000_000)
    monkeypatch.setitem(ARCHITECTURES, small.key, small)
    with pytest.raises(ExportError, match="expected at most 1,000,000"):
        export(ExportRequest(checkpoint, tmp_path / "m.onnx", ExportSettings(320, 192), ()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", REFINE_MODE_KEYS)
def test_every_refine_mode_selects_cells(mode: str) -> None:
    """`Selection.choose` implements every row of the table of refine modes."""
    err = torch.rand(1, 1, 6, 8, generator=torch.Generator().manual_seed(1))
    for static in (False, True):
        ref = Selection(mode, 160).choose(err, static=static)  # type: ignore[arg-type]
        assert ref.shape == err.shape
        assert set(ref.unique().tolist()) <= {0.0, 1.0}
        assert ref.any()


def test_an_unknown_refine_mode_is_an_error() -> None:
    """A mode that is only in the table is noticed."""
    with pytest.raises(ValueError, match="unknown refine mode 'half'"):
        Selection("half").choose(torch.zeros(1, 1, 2, 2))  # type: ignore[arg-type]
