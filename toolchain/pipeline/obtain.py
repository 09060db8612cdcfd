"""Download and checkpoint stages together: a file is adopted only once its content was checked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolchain.catalog.records import Digest, FileSource
from toolchain.errors import CheckpointError, IntegrityError
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import Listener
from toolchain.stages.checkpoint import CheckpointRequest, check
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
class Fetching:
    """What `obtain` would do.

    `runs`: whether anything.  `new`: whether another file comes into the place of the checkpoint;
    then `sha384` and `sha256` are its digests, None where they can't be known.
    """

    runs: bool
    detail: str
    new: bool = False
    sha384: str | None = None
    sha256: str | None = None


def obtain(request: BuildRequest, listener: Listener) -> bool:
    """Have the request's checkpoint in its folder, verified; True if anything had to be done.

    A file without a published digest is held strictly against the network first, then its
    sha384 is recorded; from then on another digest is an IntegrityError until the user names
    the file in `accept`.  A source that gives something else than a checkpoint of this network is
    passed over for the next.  Raises DownloadError and CheckpointError otherwise.
    """
    name, folder = request.weights.file.name, request.checkpoint.parent
    ledger, final = Ledger(folder), request.checkpoint
    asked = _download_request(request)
    _check_own(request, asked)
    while True:
        (fetched,) = download(asked, listener).files
        key = compute_key({"checkpoint": fetched.path}, {}, TOOLS)
        if fetched.path == final and ledger.current("checkpoint", key) is not None:
            checked = True
            break
        checked = False
        listener.note(f"checkpoint: {fetched.path}")
        try:
            check(CheckpointRequest(fetched.path))
            break
        except CheckpointError as error:
            if fetched.path == final:
                raise
            fetched.path.unlink(missing_ok=True)
            asked = _without(asked, fetched.source)
            if not asked.files[0].sources:
                error.kept = "What was fetched was removed; what was there before is unchanged."
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


def _without(asked: DownloadRequest, source: str) -> DownloadRequest:
    """The same request with the sources that come after `source`, which gave the wrong file."""
    (file,) = asked.files
    names = [display_name(item) for item in file.sources]
    after = file.sources[names.index(source) + 1 :] if source in names else ()
    return replace(asked, files=(replace(file, sources=after),))


def foresee_obtaining(request: BuildRequest) -> Fetching:
    """What `obtain` would do.  No network; touches nothing.

    Raises IntegrityError, as `obtain` would, for a file that is not the recorded one.
    """
    asked, ledger = _download_request(request), Ledger(request.checkpoint.parent)
    (planned,) = plan(asked)
    if planned.action == "refuse":
        raise IntegrityError(
            planned.detail,
            kept="Nothing was changed.",
            hint=f"`--accept {planned.name}` takes it, if you trust the change.",
        )
    if planned.action in ("fetch", "replace"):
        (file,) = asked.files
        digest = file.digest or dict(asked.pins).get(file.name)
        sha384 = digest.value if digest is not None and digest.algorithm == "sha384" else None
        before = ledger.recorded("checkpoint", request.checkpoint)
        return Fetching(True, planned.detail, True, sha384, before if sha384 else None)
    if planned.action == "keep":
        key = compute_key({"checkpoint": request.checkpoint}, {}, TOOLS)
        if ledger.current("checkpoint", key) is not None:
            return Fetching(False, planned.detail)
    return Fetching(True, planned.detail)


def _check_own(request: BuildRequest, asked: DownloadRequest) -> None:
    """Hold a checkpoint given by path against the network before it takes another one's place."""
    (file,) = asked.files
    if request.weights.kind != "custom" or not isinstance(file.sources[0], FileSource):
        return
    (planned,) = plan(asked)
    if planned.action in ("fetch", "replace"):
        check(CheckpointRequest(file.sources[0].path))


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
