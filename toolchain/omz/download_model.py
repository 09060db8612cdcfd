"""Download of a model for `omz_downloader`: all files as published, verified and postprocessed."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.records import Model, ModelFile
from toolchain.definitions.variants import KNOWN
from toolchain.errors import DownloadError
from toolchain.omz.download_progress import DownloadProgress
from toolchain.omz.postprocess import (
    PostprocessRequest,
    is_postprocessed,
    postprocess,
    restore_originals,
)
from toolchain.pipeline.obtain import obtain_checkpoint
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights, get_layout
from toolchain.progress import Listener
from toolchain.stages.download.download import download
from toolchain.stages.download.request import DownloadRequest
from toolchain.workspace.locking import lock


@dataclass(frozen=True)
class DownloadModelRequest:
    """One model to download.

    Attributes:
        model: The model.
        output: Root of the tree of downloaded files.
        precisions: Precisions whose folders are downloaded.
        cache_dir: Cache of files, addressed by their content.
        attempts: Attempts per source of a file.
        jobs: Number of files at the same time.
        accept: Name of a file whose changed digest is accepted.
    """

    model: Model
    output: Path
    precisions: Collection[str] = KNOWN
    cache_dir: Path | None = None
    attempts: int = 1
    jobs: int = 1
    accept: str | None = None

    @property
    def folder(self) -> Path:
        """Folder of the model's files."""
        return get_layout(self.model, self.model.name, self.output).folder

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The files to download: all but those in the folder of another precision."""
        return tuple(file for file in self.model.files if not self._is_excluded(file.name))

    @property
    def postprocessing(self) -> PostprocessRequest:
        """The steps on these files, and on files from their archives."""
        files = {file.name: file for file in self.files}
        published = {file.name for file in self.model.files}
        steps = tuple(
            step
            for step in self.model.postprocessing
            if step.file in files or step.file not in published
        )
        changed = {step.file for step in steps}
        return PostprocessRequest(
            self.folder, tuple(file for name, file in files.items() if name in changed), steps
        )

    def _is_excluded(self, name: str) -> bool:
        folder, *rest = name.split("/")
        return len(rest) == 1 and folder in KNOWN and folder not in self.precisions


def download_model(request: DownloadModelRequest, progress: DownloadProgress) -> None:
    """Download and verify every file of a model, and postprocess them, under the folder's lock.

    A checkpoint without a published digest is verified by its structure, and its sha384 recorded,
    see `obtain_checkpoint`.

    Args:
        request: What to download.
        progress: Receives the steps.

    Raises:
        DownloadError: No source provides a file; the first such file ends the download.
        ToolchainError: See `obtain_checkpoint` and `postprocess`.
    """
    after = request.postprocessing
    with lock(request.folder):
        postprocessed = bool(after.steps) and is_postprocessed(after)
        if not postprocessed:
            restore_originals(after)
        changed = {file.name for file in after.files} if postprocessed else set()

        def obtain_file(file: ModelFile) -> None:
            target = request.folder.joinpath(*file.name.split("/"))
            with progress.file(request.model.name, file, target) as listener:
                if file.name in changed:
                    listener.note(f"{file.name}: already postprocessed, unchanged since")
                else:
                    _obtain_file(request, file, listener)

        with progress.model(request.model.name, len(request.model.files)):
            if request.jobs == 1:
                for file in request.files:
                    obtain_file(file)
            else:
                with ThreadPoolExecutor(request.jobs, "download") as pool:
                    list(pool.map(obtain_file, request.files))  # raises the first error
        if after.steps and not postprocessed:
            with progress.postprocessing(request.model.name):
                postprocess(after)


def _obtain_file(request: DownloadModelRequest, file: ModelFile, listener: Listener) -> None:
    model = request.model
    if file.digest is not None:
        download(
            DownloadRequest(
                files=(file,),
                folder=request.folder,
                cache_dir=request.cache_dir,
                attempts=request.attempts,
            ),
            listener,
        )
        return
    if model.framework != "pytorch" or file != model.files[0]:
        raise DownloadError(
            f"{file.name}: no checksum is published; without one, only a checkpoint of the "
            "built-in network can be verified",
            kept="Nothing was fetched.",
            hint=f"Add its `checksum` to {model.config_path}.",
        )
    obtain_checkpoint(
        BuildRequest(
            model=model,
            weights=choose_weights(model, "upstream", request.output),
            output=request.output,
            cache_dir=request.cache_dir,
            attempts=request.attempts,
            accept=request.accept,
        ),
        listener,
    )
