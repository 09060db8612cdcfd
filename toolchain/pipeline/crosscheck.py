"""`matting download --cross-check`: have a published anchor, verified, and compare with it."""

from __future__ import annotations

from toolchain.errors import UsageError
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import Listener
from toolchain.stages.crosscheck import CrossCheckRequest, cross_check
from toolchain.stages.download.download import download
from toolchain.stages.download.request import DownloadRequest


def cross_checked(request: BuildRequest, listener: Listener) -> str:
    """Prove the checkpoint in the results' folder; returns one sentence on what was proven.

    A good anchor beside the checkpoint is used as it is, else it is downloaded.  Raises
    DownloadError if there is none to be had, IntegrityError if the weights differ.
    """
    anchors = request.model.cross_check
    if not anchors:
        raise UsageError(
            f"{request.model.config_path}: names no file under cross_check",
            hint="Add one whose digest is published.",
        )
    fetched = download(
        DownloadRequest(
            files=anchors,
            folder=request.layout.folder,
            pins=(),
            cache_dir=request.cache_dir,
            attempts=request.attempts,
        ),
        listener,
    ).files[0]
    result = cross_check(CrossCheckRequest(request.checkpoint, fetched.path))
    return (
        f"Cross-check: all {result.convolutions} convolutions of {request.checkpoint.name} equal "
        f"those of {fetched.name} (published digest) within {result.worst:.1e}."
    )
