"""A collection of models on a web server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.omz_models import Served, write_model
from tests.support.web_server import Server, page

XML = b"<?xml version='1.0'?><net/>"
FP32, FP16 = os.urandom(2_500_000), os.urandom(30_000)


@pytest.fixture(scope="session")
def whole() -> dict[str, bytes]:
    """The files of the model "whole": an IR of two precisions."""
    return {
        "FP32/whole.xml": XML,
        "FP32/whole.bin": FP32,
        "FP16/whole.xml": XML,
        "FP16/whole.bin": FP16,
    }


@pytest.fixture
def collection(server: Server, whole: dict[str, bytes], tmp_path: Path) -> Path:
    """Two models: "whole", and "broken", whose files are not found."""
    root = tmp_path / "models"
    write_model(root, "intel/whole", whole, server)
    broken = {f"FP32/broken.{suffix}": Served(b"0", (page(404),)) for suffix in ("xml", "bin")}
    write_model(root, "intel/broken", broken, server)
    return root
