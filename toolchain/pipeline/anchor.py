"""Which published digest the weights rest on.

The published state dict has no published digest.  The same release has the same weights in other
files whose digests are known; where one of them is at hand, the tensors are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from toolchain.catalog.records import ModelFile
from toolchain.errors import DownloadError
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import Listener
from toolchain.stages.crosscheck.request import CompareRequest, CrossCheckRequest
from toolchain.stages.download.download import download, plan
from toolchain.stages.download.request import DownloadRequest
from toolchain.workspace.ledger import Ledger, compute_key
from toolchain.workspace.pins import read_pin

NOTHING = (
    "none published; the file's sha384 was recorded when it was first seen to hold exactly this "
    "network"
)


def find_anchor(
    request: BuildRequest, file: ModelFile, path: Path, listener: Listener, *, fetch: bool
) -> str:
    """Compare a checkpoint with the files of known digest that are at hand.

    Args:
        request: The build.
        file: The file of the checkpoint.
        path: Where it is now.
        listener: Receives the progress.
        fetch: Whether to download such a file if none is present; an error is only a note.

    Returns:
        The digest and how it verifies the weights; "" if nothing verifies them, or if model.yml has
        the digest of the file itself.

    Raises:
        IntegrityError: The tensors differ.
    """
    if request.weights.kind != "upstream" or (file == request.weights.file and file.digest):
        return ""
    if file.digest is not None:
        return f"{file.digest} of {file.name}, published"
    ledger = Ledger(request.weights_folder)
    anchors = [*_list_present(request, request.weights.alternatives)]
    if not anchors and fetch and not request.offline:
        anchors = [*_download_first(request, listener)]
    for anchor in (*anchors, *_list_present(request, request.model.cross_check)):
        place = request.weights_folder / anchor.name
        key = compute_key({"checkpoint": path, "anchor": place}, {}, ("torch", "onnx"))
        found = ledger.current("anchor", key)
        if found is None:
            how = _compare(path, place, is_onnx=anchor in request.model.cross_check)
            found = {"rests_on": f"{anchor.digest} of {anchor.name}, published; {how}"}
            ledger.enter("anchor", key, (), found)
            listener.note(f"{file.name}: rests on {found['rests_on']}")
        return str(found["rests_on"])
    return ""


def describe_anchor(request: BuildRequest) -> str:
    """Say which published digest the published weights rest on.

    Raises:
        IntegrityError: The record of digests is unreadable.
    """
    file = request.weights_file
    if file.digest is not None:
        return str(file.digest)
    pin = read_pin(request.weights_folder, file.name)
    return pin.rests_on if pin is not None and pin.rests_on else NOTHING


def _list_present(request: BuildRequest, files: tuple[ModelFile, ...]) -> Iterator[ModelFile]:
    """Those of the files that are in the folder and have their digest."""
    for file in files:
        (planned,) = plan(_ask(request, replace(file, sources=())))
        if file.digest is not None and planned.action == "keep":
            yield file


def _download_first(request: BuildRequest, listener: Listener) -> Iterator[ModelFile]:
    """Download the first of the alternatives that can be obtained."""
    for file in request.weights.alternatives:
        try:
            download(_ask(request, file), listener)
        except DownloadError as error:  # noqa: PERF203 - a few files, each with its reason
            listener.note(f"{file.name}, which would verify the weights: {error.message}")
        else:
            yield file
            return


def _ask(request: BuildRequest, file: ModelFile) -> DownloadRequest:
    return DownloadRequest(
        files=(file,),
        folder=request.weights_folder,
        cache_dir=request.cache_dir,
        attempts=request.attempts,
    )


def _compare(checkpoint: Path, anchor: Path, *, is_onnx: bool) -> str:
    from toolchain.stages.crosscheck import crosscheck  # loads PyTorch and ONNX

    if is_onnx:
        result = crosscheck.cross_check(CrossCheckRequest(checkpoint, anchor))
        return f"all {result.convolutions} convolutions equal within {result.worst:.1e}"
    count = crosscheck.compare_checkpoints(CompareRequest(checkpoint, anchor))
    return f"all {count} tensors equal bit for bit"
