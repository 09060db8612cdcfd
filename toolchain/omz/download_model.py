"""All files of one model as published, postprocessed: what `omz_downloader` does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from toolchain.catalog.records import Model, ModelFile
from toolchain.errors import DownloadError
from toolchain.omz.postprocess import PostprocessRequest, holds, postprocess, restore
from toolchain.pipeline.obtain import obtain
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose, layout_of
from toolchain.progress import Listener
from toolchain.stages.download import DownloadRequest, download
from toolchain.workspace.locking import lock


@dataclass(frozen=True)
class PublishedRequest:
    """Have the files of `model` below `output`, strictly as published.

    `left_out`: folders of precisions that are not wanted.  `jobs`: files at a time.  `accept`:
    name of a file whose changed digest is accepted.
    """

    model: Model
    output: Path
    left_out: frozenset[str] = frozenset()
    cache_dir: Path | None = None
    attempts: int = 1
    jobs: int = 1
    accept: str | None = None

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return layout_of(self.model, self.model.name, self.output).folder

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """Those that are wanted."""
        return tuple(file for file in self.model.files if not self._is_left_out(file.name))

    @property
    def postprocessing(self) -> PostprocessRequest:
        """The steps on wanted files, or on what comes out of their archives."""
        wanted = {file.name: file for file in self.files}
        known = {file.name for file in self.model.files}
        steps = tuple(
            step
            for step in self.model.postprocessing
            if step.file in wanted or step.file not in known
        )
        touched = {step.file for step in steps}
        files = tuple(file for name, file in wanted.items() if name in touched)
        return PostprocessRequest(self.folder, files, steps)

    def _is_left_out(self, name: str) -> bool:
        folder, slash, rest = name.partition("/")
        return bool(slash) and "/" not in rest and folder in self.left_out


class Watcher(Protocol):
    """Who hears what begins and ends; an exception that leaves a context means it failed."""

    def model(self, name: str, files: int) -> AbstractContextManager[object]:
        """The download of all files of a model."""

    def file(self, model: str, file: ModelFile, target: Path) -> AbstractContextManager[Listener]:
        """One file; the listener hears how far it is."""

    def postprocessing(self, model: str) -> AbstractContextManager[object]:
        """The steps after the download."""


def fetch_published(request: PublishedRequest, watcher: Watcher) -> None:
    """Have every file there and verified, under the lock of the model's folder.

    A checkpoint without a published digest is held against the network and its sha384 recorded,
    as `obtain` does.  Raises DownloadError at the first file that can't be had, and what `obtain`
    and `postprocess` raise.
    """
    after = request.postprocessing
    with lock(request.folder):
        processed = bool(after.steps) and holds(after)
        if after.steps and not processed:
            restore(after)
        changed = {file.name for file in after.files} if processed else set()

        def have(file: ModelFile) -> None:
            target = request.folder.joinpath(*file.name.split("/"))
            with watcher.file(request.model.name, file, target) as listener:
                if file.name in changed:
                    listener.note(f"{file.name}: postprocessed already, unchanged since")
                else:
                    _have(request, file, listener)

        with watcher.model(request.model.name, len(request.model.files)):
            _each(have, request.files, request.jobs)
        if after.steps and not processed:
            with watcher.postprocessing(request.model.name):
                postprocess(after)


def _each(work: Callable[[ModelFile], None], files: Iterable[ModelFile], jobs: int) -> None:
    if jobs == 1:
        for file in files:
            work(file)
        return
    with ThreadPoolExecutor(jobs, "download") as pool:
        for _ in pool.map(work, files):
            pass


def _have(request: PublishedRequest, file: ModelFile, listener: Listener) -> None:
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
            f"{file.name}: no checksum is published, and only a checkpoint of the built-in "
            "network can be verified without one",
            kept="Nothing was fetched.",
            hint=f"Add its `checksum` to {model.config_path}.",
        )
    obtain(
        BuildRequest(
            model=model,
            weights=choose(model, "upstream", request.output),
            output=request.output,
            cache_dir=request.cache_dir,
            attempts=request.attempts,
            accept=request.accept,
        ),
        listener,
    )
