"""Precisions of the model's files, and variants: one form of the model at one precision hint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Hint = Literal["f32", "default"]
HINTS: tuple[Hint, ...] = ("f32", "default")
HINT_LABELS: Mapping[str, str] = {"f32": "f32", "default": "device default"}

ORIGINAL, ONNX = "original", "ONNX"  # the forms that are not IRs
DEFAULT_DEVICE = "CPU"


@dataclass(frozen=True)
class Precision:
    """One row of the table of precisions.

    Attributes:
        name: Name of the precision and of its folder, for example "FP16-INT8".
        made_by: How the toolchain makes it: the stage "convert", the stage "quantize", the command
            "omz_quantizer" only, or "" for one that only downloads have.
        source: Name of the precision that it is quantized from, "" if it is not quantized.
        by_default: Whether a build makes it by default.
    """

    name: str
    made_by: Literal["convert", "quantize", "omz_quantizer", ""]
    source: str = ""
    by_default: bool = False

    @property
    def is_half(self) -> bool:
        """Whether weights that are not quantized are float16."""
        return self.name.startswith("FP16")


PRECISIONS: tuple[Precision, ...] = (  # in the order in which a build makes and lists them
    Precision("FP32", made_by="convert", by_default=True),
    Precision("FP16", made_by="convert", by_default=True),
    Precision("FP16-INT8", made_by="quantize", source="FP16"),
    Precision("FP32-INT8", made_by="omz_quantizer", source="FP32"),
    Precision("FP16-INT1", made_by=""),
    Precision("FP32-INT1", made_by=""),
)
FP32, FP16, INT8 = "FP32", "FP16", "FP16-INT8"
CONVERTED = tuple(row.name for row in PRECISIONS if row.made_by == "convert")
BUILT = tuple(row.name for row in PRECISIONS if row.made_by in ("convert", "quantize"))
BUILT_BY_DEFAULT = tuple(row.name for row in PRECISIONS if row.by_default)
QUANTIZED_FROM: Mapping[str, str] = {row.name: row.source for row in PRECISIONS if row.source}
KNOWN = tuple(sorted(row.name for row in PRECISIONS))
PREFERRED = (FP16, FP32, *(name for name in BUILT if name not in (FP16, FP32)))
"""Order of preference where a model folder has several precisions and none was requested."""

CONVERTED_FORMS = (ONNX, *BUILT)  # the forms that a build validates, and that tolerances name
FORMS = (ORIGINAL, *CONVERTED_FORMS)


def hints_of(form: str) -> tuple[Hint, ...]:
    """Precision hints at which `form` can be run: both for an IR, "f32" for anything else."""
    return HINTS[:1] if form in (ORIGINAL, ONNX) else HINTS


@dataclass(frozen=True)
class Variant:
    """One form of the model, run at one precision hint on one device.

    Attributes:
        form: One of `FORMS`: "original" (PyTorch), "ONNX", or the precision of an IR.
        hint: "f32", or "default" for the precision that the device chooses by itself.
        device: Device by OpenVINO's name.
    """

    form: str
    hint: Hint = "f32"
    device: str = DEFAULT_DEVICE

    def __str__(self) -> str:
        where = "" if self.device == DEFAULT_DEVICE else f" on {self.device}"
        return f"{self.form} at {self.hint}{where}"

    @property
    def id(self) -> str:
        """Identifier for scripts and HTML, unique among the variants of a build."""
        where = "" if self.device == DEFAULT_DEVICE else f"-{self.device}"
        return f"{self.form}-{self.hint}{where}".lower()

    @property
    def anywhere(self) -> Variant:
        """The same form and hint without a particular device, as tolerances name it."""
        return Variant(self.form, self.hint)

    def label(self, executed: str = "") -> str:
        """Label for people.

        Args:
            executed: Precision that the device computed in; shown where it does not follow from the
                hint.
        """
        shown = f" ({executed})" if executed and executed != self.hint else ""
        where = "" if self.device == DEFAULT_DEVICE else f" on {self.device}"
        return f"{self.form} \u00b7 {HINT_LABELS[self.hint]}{shown}{where}"

    def as_json(self) -> dict[str, str]:
        """The keys by which every JSON record names a variant."""
        return {"form": self.form, "hint": self.hint, "device": self.device}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Variant:
        """Read the keys of `as_json`.

        Raises:
            ValueError: Unknown form or hint.
        """
        form, hint = str(record["form"]), record["hint"]
        if form not in FORMS or hint not in HINTS:
            raise ValueError(f"unknown variant {form!r} at {hint!r}")
        return cls(form, hint, str(record.get("device", DEFAULT_DEVICE)))
