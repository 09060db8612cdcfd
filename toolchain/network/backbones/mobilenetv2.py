"""MobileNetV2 as a feature extractor: six input channels, output stride 16, four shortcuts."""

from __future__ import annotations

from torch import Tensor, nn

from toolchain.network.backbones.features import FRAME_CHANNELS, Features

# (expansion, channels, repeats, stride of the first): table 2 of arXiv 1801.04381.  The last
# stride of 2 is replaced by a dilation of 2 from the second block of that stage on.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 1),
    (6, 320, 1, 1),
)
FIRST_DILATED_BLOCK = 15
STEM_CHANNELS = 32
SHORTCUT_BLOCKS = (1, 3, 6)  # the last blocks at strides 2, 4 and 8


class ConvBNReLU(nn.Sequential):
    """Convolution without bias, BatchNorm, ReLU6; padded to keep the size at stride 1."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        padding = (kernel - 1) // 2 * dilation
        super().__init__(
            nn.Conv2d(
                inputs, outputs, kernel, stride, padding, dilation, groups=groups, bias=False
            ),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1; added to its input where the shapes allow it."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, expansion: int, dilation: int
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.adds_input = stride == 1 and inputs == outputs
        expand = [ConvBNReLU(inputs, hidden, kernel=1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            ConvBNReLU(hidden, hidden, stride=stride, dilation=dilation, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: B x `inputs` x H x W -> B x `outputs` x H/stride x W/stride."""
        y: Tensor = self.conv(x)
        return x + y if self.adds_input else y


class MobileNetV2Encoder(nn.Module):
    """`features.0` to `features.17`; the last 1x1 block and the classifier are removed."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [ConvBNReLU(FRAME_CHANNELS, STEM_CHANNELS, stride=2)]
        inputs = STEM_CHANNELS
        for expansion, channels, repeats, first_stride in STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                dilation = 2 if len(blocks) >= FIRST_DILATED_BLOCK else 1
                blocks.append(InvertedResidual(inputs, channels, stride, expansion, dilation))
                inputs = channels
        self.features = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Features:
        """Extract features.

        Args:
            x: Frame, then clean plate, B x 6 x H x W, float32, RGB 0..1.

        Returns:
            The features, with 6, 16, 24, 32 and 320 channels.
        """
        at_blocks = []
        y = x
        for index, block in enumerate(self.features):
            y = block(y)
            if index in SHORTCUT_BLOCKS:
                at_blocks.append(y)
        x2, x4, x8 = at_blocks
        return Features(x, x2, x4, x8, y)
