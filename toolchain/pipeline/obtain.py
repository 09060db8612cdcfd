"""Download and checkpoint stages: a checkpoint is used only after its content was checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from toolchain.catalog.records import Digest, FileSource, ModelFile
from toolchain.errors import CheckpointError, DownloadError, IntegrityError, ToolchainError
from toolchain.pipeline.anchor import find_anchor
from toolchain.pipeline.request import BuildRequest
from toolchain.progress import Listener, SilentListener
from toolchain.stages.checkpoint.request import CheckpointRequest
from toolchain.stages.download.download import download, plan
from toolchain.stages.download.request import DownloadRequest, FetchedFile
from toolchain.transfer.transport import display_name
from toolchain.workspace.ledger import Ledger, compute_key
from toolchain.workspace.pins import Pin, adopt, read_pins, record_pin

TOOLS = ("torch", "safetensors")
_REMOVED = "The downloaded file was removed; existing files are unchanged."
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
    If no source does, the alternatives are tried: the same weights under a published digest.

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
    candidates = [request.weights_file]
    candidates += [
        file
        for file in (request.weights.file, *request.weights.alternatives)
        if file not in candidates
    ]
    failures: list[ToolchainError] = []
    for file in candidates:
        is_present = (request.weights_folder / file.name).exists()
        try:
            return _obtain_file(request, file, listener)
        except (DownloadError, CheckpointError) as error:
            if is_present or isinstance(error, IntegrityError):
                raise
            failures.append(error)
            if file is not candidates[-1]:
                listener.note(f"{file.name} cannot be obtained; trying the same weights elsewhere")
    failures[0].message = "\n".join(error.message for error in failures)
    raise failures[0]


def _obtain_file(request: BuildRequest, file: ModelFile, listener: Listener) -> bool:
    """Place one file in the folder, checked; returns whether anything had to be done."""
    folder, ledger = request.weights_folder, Ledger(request.weights_folder)
    final = folder / file.name
    asked = _download_request(request, file)
    _check_given_file(request, asked)
    fetched = _fetch_checked(request, asked, ledger, listener)
    is_new = fetched.status == "fetched"
    try:
        rests_on = find_anchor(request, file, fetched.path, listener, fetch=is_new)
    except IntegrityError as error:
        if fetched.path != final:
            fetched.path.unlink(missing_ok=True)
            error.kept = _REMOVED
        raise
    if fetched.verified_by == "nothing" or rests_on:
        if fetched.path != final:
            adopt(folder, file.name)
        pin = Pin(Digest("sha384", fetched.digest.value), fetched.size, fetched.source, rests_on)
        record_pin(folder, file.name, pin, accept=request.accept == file.name)
    key = _compute_key(request, final)
    if ledger.current("checkpoint", key) is not None:
        return fetched.status != "present"
    outputs = (final, *((request.checkpoint,) if request.weights.key else ()))
    ledger.enter("checkpoint", key, outputs, {})
    return True


def _fetch_checked(
    request: BuildRequest, asked: DownloadRequest, ledger: Ledger, listener: Listener
) -> FetchedFile:
    """Fetch a file that is a checkpoint of this network; tries one source after another."""
    final = asked.folder / asked.files[0].name
    while True:
        (fetched,) = download(asked, listener).files
        key = _compute_key(request, fetched.path)
        if fetched.path == final and ledger.current("checkpoint", key) is not None:
            return fetched
        listener.note(f"checkpoint: {fetched.path}")
        try:
            _check(request, fetched.path, listener, selects=request.weights.key != "")
        except CheckpointError as error:
            if fetched.path == final:
                raise
            fetched.path.unlink(missing_ok=True)
            asked = _without(asked, fetched.source)
            if not asked.files[0].sources:
                error.kept = _REMOVED
                raise
            listener.note(f"{error.message}; trying the next source")
        else:
            return fetched


def _check(request: BuildRequest, path: Path, listener: Listener, *, selects: bool = False) -> None:
    from toolchain.stages.checkpoint.check import check  # loads PyTorch

    result = check(
        CheckpointRequest(path, request.weights.key, request.checkpoint if selects else None)
    )
    listener.note(f"{path.name}: {result.format}, {result.found}")


def _compute_key(request: BuildRequest, path: Path) -> str:
    key = request.weights.key
    return compute_key({"checkpoint": path}, {"weights_key": key} if key else {}, TOOLS)


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
    asked = _download_request(request, request.weights_file)
    ledger = Ledger(request.weights_folder)
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
        if request.weights.key:
            return ObtainPlan(True, planned.detail, True)
        before = ledger.recorded("checkpoint", request.checkpoint)
        return ObtainPlan(True, planned.detail, True, sha384, before if sha384 else None)
    if planned.action == "keep":
        key = _compute_key(request, request.weights_folder / request.weights_file.name)
        if ledger.current("checkpoint", key) is not None:
            return ObtainPlan(False, planned.detail)
    return ObtainPlan(True, planned.detail, new=request.weights.key != "")


def _check_given_file(request: BuildRequest, asked: DownloadRequest) -> None:
    """Check a checkpoint given by path before it replaces another one."""
    (file,) = asked.files
    if request.weights.kind != "custom" or not isinstance(file.sources[0], FileSource):
        return
    (planned,) = plan(asked)
    if planned.action in ("fetch", "replace"):
        _check(request, file.sources[0].path, SilentListener())


def _download_request(request: BuildRequest, file: ModelFile) -> DownloadRequest:
    folder = request.weights_folder
    pins = {name: pin for name, pin in read_pins(folder).items() if name != request.accept}
    return DownloadRequest(
        files=(replace(file, sources=()) if request.offline else file,),
        folder=folder,
        pins=tuple(sorted(pins.items())),
        cache_dir=request.cache_dir,
        attempts=request.attempts,
        alternative=OFFLINE if request.weights.kind == "upstream" else "",
    )
