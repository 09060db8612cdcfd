"""What results depend on besides their inputs."""

from __future__ import annotations

import os
from importlib import metadata

from toolchain.workspace.environment import code_digest, machine, processor, version


def test_versions_are_those_installed() -> None:
    """A distribution that is not installed is "absent"."""
    assert version("numpy") == metadata.version("numpy")
    assert version("no-such-distribution") == "absent"


def test_the_machine_is_described() -> None:
    """Processor, cores and operating system."""
    found = machine()
    assert found["processor"] == processor() != ""
    assert found["cores"] == os.cpu_count()


def test_the_code_has_one_digest() -> None:
    """A sha256, the same for every call."""
    assert len(code_digest()) == 64
    assert code_digest() == code_digest()
