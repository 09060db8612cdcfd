"""What is particular to one network of the BackgroundMattingV2 family.

Another backbone is one more record here, one module in `network/` and a model.yml.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """One network: widths, layers that are treated specially, and names.

    Attributes:
        key: Name of the backbone; `network.backbones` finds its class under it.
        model_name: Name of the published model.
        title: Name for model card and bill of materials.
        family: Kind of network, as CycloneDX names it.
        encoder_channels: Channels of the backbone's output at stride 16.
        shortcut_channels: Channels of the shortcuts at strides 8, 4, 2 and 1.
        aspp_channels: Channels after ASPP.
        decoder_channels: Channels after the decoder's first three convolutions.
        hidden_channels: Channels that the base network hands to the refiner.
        checkpoint_bytes: Approximate size of the published checkpoint, for messages.
        onnx_limit: Largest permitted size of the exported ONNX in bytes.
        float32_layers: Layers whose weights stay float32 in an FP16 IR.
        float32_below: Constants of fewer elements stay float32 in an FP16 IR.
        ignored_layers: Layers that INT8 quantization leaves in float (NNCF's ignored scope).
        resize_convolutions: Names of convolutions with fixed weights, which implement resizes.
    """

    key: str
    model_name: str
    title: str
    family: str
    encoder_channels: int
    shortcut_channels: tuple[int, int, int, int]
    aspp_channels: int
    decoder_channels: tuple[int, int, int]
    hidden_channels: int
    checkpoint_bytes: int
    onnx_limit: int
    float32_layers: tuple[str, ...]
    float32_below: int
    ignored_layers: tuple[str, ...]
    resize_convolutions: tuple[str, ...]


MOBILENETV2 = Architecture(
    key="mobilenetv2",
    model_name="background-matting-mobilenetv2",
    title="BackgroundMattingV2, MobileNetV2 backbone",
    family="convolutional neural network",
    encoder_channels=320,
    shortcut_channels=(32, 24, 16, 6),
    aspp_channels=256,
    decoder_channels=(128, 64, 48),
    hidden_channels=32,
    checkpoint_bytes=20_168_692,
    onnx_limit=21_000_000,
    # 4 % of the weights, but most of the effect of rounding on a matte.  Rounded one by one, the
    # decoder's last convolution moves alpha 50 to 300 times as much as any layer of the backbone.
    # With these in float32, random weights lose 0.003 of MAD x1000 instead of 0.3.
    float32_layers=("decoder.conv2", "decoder.conv3", "decoder.conv4", "refiner."),
    float32_below=2_000,
    # Quantized one by one, these three move the foreground most: by 3.2, 1.7 and 0.15 thousandths
    # on average.
    ignored_layers=("decoder.conv4", "decoder.conv3", "refiner.conv4"),
    resize_convolutions=("shrunk", "halved", "enlarged"),
)
ARCHITECTURES = {architecture.key: architecture for architecture in (MOBILENETV2,)}
