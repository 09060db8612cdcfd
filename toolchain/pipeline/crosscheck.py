"""`matting download --cross-check`: compare the checkpoint with a published ONNX."""

from __future__ import annotations

from toolchain.errors import UsageError
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import Listener
from toolchain.stages.crosscheck.crosscheck import cross_check
from toolchain.stages.crosscheck.request import CrossCheckRequest
from toolchain.stages.download.download import download
from toolchain.stages.download.request import DownloadRequest


def run_cross_check(request: BuildRequest, listener: Listener) -> str:
    """Compare the checkpoint in the results' folder with the published ONNX.

    The ONNX is downloaded unless a valid one is in the folder of the checkpoint.

    Args:
        request: The build.
        listener: Receives the progress.

    Returns:
        The result in one sentence.

    Raises:
        UsageError: model.yml names no file for the comparison.
        DownloadError: No source provided the ONNX.
        IntegrityError: The weights differ.
    """
    anchors = request.model.cross_check
    if not anchors:
        raise UsageError(
            f"{request.model.config_path}: no file under cross_check",
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
