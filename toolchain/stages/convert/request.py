"""What to convert, and the record of the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.catalog.arguments import ConversionSettings
from toolchain.definitions.architecture import Architecture

InputFormat = Literal["f32-nchw", "u8-nhwc"]  # float planes, or pixels as from a camera


@dataclass(frozen=True)
class Float32Constants:
    """Constants that stay float32 in an FP16 IR.  By default there are none.

    Attributes:
        below: Constants with fewer elements than this.
        layers: Constants of these layers, and of layers within them.
    """

    below: int = 0
    layers: tuple[str, ...] = ()

    @classmethod
    def from_architecture(cls, architecture: Architecture) -> Float32Constants:
        """Take those of an architecture."""
        return cls(architecture.float32_below, architecture.float32_layers)

    def include(self, name: str, elements: int) -> bool:
        """Whether the constant of this name in the ONNX, and of so many elements, is one."""
        prefixes = tuple(f"{layer}." for layer in self.layers)
        return elements < self.below or name.startswith(prefixes)


@dataclass(frozen=True)
class ConvertRequest:
    """One IR to write.

    Attributes:
        onnx: The ONNX file.
        xml: Path of the xml; the bin is written next to it.
        precision: Precision of the weights.
        settings: Settings from model_optimizer_args in model.yml.
        facts: Pairs for the section "matting" of rt_info.
        model_info: Pairs of model_info in model.yml.
        float32_constants: What stays float32 in an FP16 IR; by default nothing, as with Open Model
            Zoo's converter.
        input_format: Format of the inputs that are images.  "u8-nhwc" needs inputs that are NCHW
            in the ONNX.
        moves_preprocessing: Whether the reversal of channels and the scaling are moved to where
            less data passes, which changes the rounding.  If not, the outputs are those of
            OpenVINO's own conversion, bit for bit.
    """

    onnx: Path
    xml: Path
    precision: str
    settings: ConversionSettings
    facts: tuple[tuple[str, str], ...]
    model_info: tuple[tuple[str, object], ...] = ()
    float32_constants: Float32Constants = Float32Constants()
    input_format: InputFormat = "f32-nchw"
    moves_preprocessing: bool = False


@dataclass(frozen=True)
class ConvertResult:
    """The IR that was written.

    Attributes:
        xml: Path of the xml.
        xml_size: Size of the xml in bytes.
        bin_size: Size of the bin in bytes.
    """

    xml: Path
    xml_size: int
    bin_size: int
