"""Backbones: feature extractors by the `key` of their architecture."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from toolchain.network.backbones.mobilenetv2 import MobileNetV2Encoder

# Each class takes no arguments; its `forward` maps B x 6 x H x W to `Features`.
BACKBONES: dict[str, Callable[[], nn.Module]] = {"mobilenetv2": MobileNetV2Encoder}
