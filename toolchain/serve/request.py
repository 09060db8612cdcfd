"""Request of `matting serve`. Imports nothing heavy."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from toolchain.definitions.variants import DEFAULT_DEVICE


@dataclass(frozen=True)
class ServeRequest:
    """What to serve, and where.

    Attributes:
        models: Paths of models; see `toolchain.Matting`.
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
        device: OpenVINO's name of the device.
    """

    models: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8765
    device: str = DEFAULT_DEVICE


def is_local(host: str) -> bool:
    """Whether only this machine can connect to a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
