"""Paths of results."""

from __future__ import annotations

from pathlib import Path

from toolchain.workspace.layout import Layout


def test_the_layout_is_that_of_open_model_zoo() -> None:
    """Output folder, subdirectory, then file, or precision and file."""
    layout = Layout(Path("out"), "public/net", "net")
    assert layout.folder == Path("out", "public", "net")
    assert layout.onnx == Path("out", "public", "net", "net.onnx")
    assert layout.ir("FP16") == Path("out", "public", "net", "FP16", "net.xml")
    assert layout.validation == Path("out", "public", "net", "validation.json")
