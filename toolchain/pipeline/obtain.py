"""Download and checkpoint stages: a checkpoint is used only after its content was checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from toolchain.catalog.records import Digest, FileSource
from toolchain.errors import CheckpointError, IntegrityError
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import Listener, SilentListener
from toolchain.stages.checkpoint.request import CheckpointRequest
from toolchain.stages.download.download import download, plan
from toolchain.stages.download.request import DownloadRequest
from toolchain.transfer.transport import display_name
from toolchain.workspace.ledger import Ledger, compute_key
from toolchain.workspace.pins import adopt, read_pins, record_pin

TOOLS = ("torch", "safetensors")
OFFLINE = (
    "Without a network, `matting build --weights bundled` (`make convert WEIGHTS=bundled`) uses "
    "the weights that ship with the toolchain."
)


@dataclass(frozen=True)
class ObtainPlan:
    """What `obtain_checkpoint` would do.

    Attributes:
        runs: Whether anything has to be done.
        detail: One line.
        new: Whether another file becomes the checkpoint.
        sha384: Its digest if `new` and known in advance.
        sha256: Its digest if `new` and known in advance.
    """

    runs: bool
    detail: str
    new: bool = False
    sha384: str | None = None
    sha256: str | None = None


def obtain_checkpoint(request: BuildRequest, listener: Listener) -> bool:
    """Place the request's checkpoint in its folder, verified.

    A file without a published digest is compared strictly with the network, then its sha384 is
    recorded; from then on another digest is an error until the user names the file in `accept`.
    If a source provides something other than a checkpoint of this network, the next one is tried.

    Args:
        request: The build.
        listener: Receives the progress.

    Returns:
        Whether anything had to be done.

    Raises:
        DownloadError: No source provided the file.
        IntegrityError: The file differs from the recorded one.
        CheckpointError: The file is not a checkpoint of this network.
    """
    name, folder = request.weights.file.name, request.checkpoint.parent
    ledger, final = Ledger(folder), request.checkpoint
    asked = _download_request(request)
    _check_given_file(request, asked)
    while True:
        (fetched,) = download(asked, listener).files
        key = compute_key({"checkpoint": fetched.path}, {}, TOOLS)
        if fetched.path == final and ledger.current("checkpoint", key) is not None:
            checked = True
            break
        checked = False
        listener.note(f"checkpoint: {fetched.path}")
        try:
            _check(fetched.path, listener)
            break
        except CheckpointError as error:
            if fetched.path == final:
                raise
            fetched.path.unlink(missing_ok=True)
            asked = _without(asked, fetched.source)
            if not asked.files[0].sources:
                error.kept = "The downloaded file was removed; existing files are unchanged."
                raise
            listener.note(f"{error.message}; trying the next source")
    if fetched.verified_by == "nothing":
        if fetched.path != final:
            adopt(folder, name)
        digest = Digest("sha384", fetched.digest.value)
        record_pin(
            folder, name, digest, fetched.size, fetched.source, accept=request.accept == name
        )
    if not checked:
        ledger.enter("checkpoint", key, (final,), {})
    return not checked or fetched.status != "present"


def _check(path: Path, listener: Listener) -> None:
    from toolchain.stages.checkpoint.check import check  # loads PyTorch

    result = check(CheckpointRequest(path))
    listener.note(f"{path.name}: {result.format}, {result.found}")


def _without(asked: DownloadRequest, source: str) -> DownloadRequest:
    """Return the request with only the sources after `source`, which provided a wrong file."""
    (file,) = asked.files
    names = [display_name(item) for item in file.sources]
    after = file.sources[names.index(source) + 1 :] if source in names else ()
    return replace(asked, files=(replace(file, sources=after),))


def plan_checkpoint(request: BuildRequest) -> ObtainPlan:
    """Determine what `obtain_checkpoint` would do, without network access or any change.

    Raises:
        IntegrityError: The file differs from the recorded one, as for `obtain_checkpoint`.
    """
    asked, ledger = _download_request(request), Ledger(request.checkpoint.parent)
    (planned,) = plan(asked)
    if planned.action == "refuse":
        raise IntegrityError(
            planned.detail,
            kept="Nothing was changed.",
            hint=f"If you trust the change, use `--accept {planned.name}`.",
        )
    if planned.action in ("fetch", "replace"):
        (file,) = asked.files
        digest = file.digest or dict(asked.pins).get(file.name)
        sha384 = digest.value if digest is not None and digest.algorithm == "sha384" else None
        before = ledger.recorded("checkpoint", request.checkpoint)
        return ObtainPlan(True, planned.detail, True, sha384, before if sha384 else None)
    if planned.action == "keep":
        key = compute_key({"checkpoint": request.checkpoint}, {}, TOOLS)
        if ledger.current("checkpoint", key) is not None:
            return ObtainPlan(False, planned.detail)
    return ObtainPlan(True, planned.detail)


def _check_given_file(request: BuildRequest, asked: DownloadRequest) -> None:
    """Check a checkpoint given by path before it replaces another one."""
    (file,) = asked.files
    if request.weights.kind != "custom" or not isinstance(file.sources[0], FileSource):
        return
    (planned,) = plan(asked)
    if planned.action in ("fetch", "replace"):
        _check(file.sources[0].path, SilentListener())


def _download_request(request: BuildRequest) -> DownloadRequest:
    folder = request.checkpoint.parent
    file = request.weights.file
    pins = {name: pin for name, pin in read_pins(folder).items() if name != request.accept}
    return DownloadRequest(
        files=(replace(file, sources=()) if request.offline else file,),
        folder=folder,
        pins=tuple(sorted(pins.items())),
        cache_dir=request.cache_dir,
        attempts=request.attempts,
        alternative=OFFLINE if request.weights.kind == "upstream" else "",
    )
