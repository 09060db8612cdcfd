"""Properties of each network of the BackgroundMattingV2 family.

To add a backbone, add a record to `ARCHITECTURES`, a module with its class to
`network/backbones/`, an entry to the registry there, and a model.yml.
"""

from __future__ import annotations

from dataclasses import dataclass

# Convolutions of the exported graph that resize with fixed weights.  They are not layers of the
# network.
RESIZE_CONVOLUTIONS = ("shrunk", "halved", "enlarged")


@dataclass(frozen=True)
class Architecture:
    """Names, channels, and special layers of one network.

    Layers are named as in the state dict.  A name includes all layers within the layer.

    Attributes:
        key: Name of the backbone, under which `network.backbones.BACKBONES` has its class and
            `find_architecture` finds the record.
        model_name: Name of the published model, and of the graph in the ONNX.
        title: Name for the model card and the bill of materials.
        family: Kind of network in CycloneDX's terms.
        encoder_channels: Channels of the backbone's output, at stride 16.
        shortcut_channels: Channels of the backbone's features at strides 8, 4, 2 and 1.  Those at
            stride 1 are the input itself: frame and clean plate, 6 channels.
        aspp_channels: Channels of the output of ASPP.
        decoder_channels: Channels after the first three convolutions of the decoder.
        hidden_channels: Channels that the base network passes to the refiner in addition to its
            results.
        checkpoint_bytes: Approximate size of the published checkpoint in bytes, for messages.
        onnx_limit: Largest permitted size of the exported ONNX in bytes.
        float32_layers: Layers whose weights stay float32 in an FP16 IR.
        float32_below: Constants with fewer elements than this stay float32 in an FP16 IR.
        ignored_layers: Layers that INT8 quantization leaves in float (NNCF's ignored scope).
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
    float32_layers=("decoder.conv2", "decoder.conv3", "decoder.conv4", "refiner"),
    float32_below=2_000,
    # Quantized one by one, these three move the foreground most: by 3.2, 1.7 and 0.15 thousandths
    # on average.
    ignored_layers=("decoder.conv4", "decoder.conv3", "refiner.conv4"),
)
ARCHITECTURES: dict[str, Architecture] = {record.key: record for record in (MOBILENETV2,)}


def find_architecture(model_name: str) -> Architecture:
    """Find the architecture of a model by its name, which contains the backbone's name.

    Args:
        model_name: Name of the model, for example "background-matting-mobilenetv2".

    Returns:
        The record whose `key` is a part of the name between hyphens; `MOBILENETV2` if there is
        none.
    """
    parts = model_name.lower().split("-")
    return next((ARCHITECTURES[part] for part in parts if part in ARCHITECTURES), MOBILENETV2)
