"""Work that the campaign does through the library: with the errors and exit codes of a command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from toolchain.catalog.records import Digest, GoogleDriveSource, HttpSource, ModelFile
from toolchain.cli import exits
from toolchain.stages.download.download import download
from toolchain.stages.download.request import DownloadRequest
from toolchain.transfer.transport import Transport

HURRIED = {
    "first_delay": 0.01,
    "longest_delay": 0.02,
    "longest_wait": 0.1,
    "connect_timeout": 2.0,
    "read_timeout": 1.0,
    "slow_time": 1.0,
    "longest_transfer": 6.0,
    "size_limit": 4 << 20,
}


def fetch(work: dict[str, Any]) -> int:
    """Download a file with short waits."""
    source = HttpSource(work["url"]) if "url" in work else GoogleDriveSource("abc")
    transport = Transport(**{**HURRIED, "drive_url": work.get("drive", "")})
    digest = Digest("sha384", work["sha384"]) if work.get("sha384") else None
    file = ModelFile("f.bin", work.get("size"), digest, (source,))
    request = DownloadRequest((file,), Path("out"), attempts=2, transport=transport)
    print(download(request).files[0].path)
    return 0


def read_checkpoint(work: dict[str, Any]) -> int:
    """Read a checkpoint of the small network; fails if other tensors are read than it holds."""
    from tests.support import fuzz_checkpoints as fuzz  # needs PyTorch

    with fuzz.only_architecture(fuzz.SMALL):
        result = fuzz.check(Path(work["path"]), fuzz.random_state(fuzz.SMALL))
    if result.is_failure:
        raise AssertionError(str(result))
    return 0


FUNCTIONS: dict[str, Callable[[dict[str, Any]], int]] = {
    "fetch": fetch,
    "read_checkpoint": read_checkpoint,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Call a function with JSON."""
    name, work = sys.argv[1:] if arguments is None else arguments
    return exits.run(lambda: FUNCTIONS[name](json.loads(work)))


if __name__ == "__main__":
    sys.exit(main())
