"""Report: HTML and Markdown from the records of a build and a few frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from toolchain.catalog.builtin import read_published_accuracy
from toolchain.catalog.export_arguments import ExportSettings
from toolchain.definitions import schemas
from toolchain.definitions.metrics import max_error_of
from toolchain.definitions.ports import OUTPUTS
from toolchain.definitions.variants import ONNX
from toolchain.errors import ReportError
from toolchain.frames.frame import Frame
from toolchain.frames.generated import composite
from toolchain.frames.pairs import load_pair, read_pairs
from toolchain.pictures.encode import WIDEST
from toolchain.pictures.heat import gradient, ticks
from toolchain.progress import Listener, SilentListener
from toolchain.report.gallery import FrameGallery, ReportedVariant
from toolchain.report.html import render_html
from toolchain.report.markdown import render_markdown
from toolchain.report.page import FrameImages, ReportImages, build_page
from toolchain.report.run_tables import format_run_label, get_variant
from toolchain.report.text import Fact
from toolchain.runtimes.background_worker import background_worker
from toolchain.runtimes.base import Inference, Runtime
from toolchain.runtimes.onnx_runtime import OnnxRuntime
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.runtimes.pytorch import PyTorchRuntime
from toolchain.stages.report.request import ReportRequest, ReportResult
from toolchain.workspace.atomic import os_errors, write_bytes
from toolchain.workspace.digests import file_digest

SCHEMAS = {
    "validation": schemas.VALIDATION,
    "evaluation": schemas.EVALUATION,
    "latency": schemas.LATENCY,
}
MANY = 8  # frames; with more, images are half as large, so that the file can be mailed
GENERATED = "generated, with ground truth"
CAPTURE = "captured, without ground truth"


def report(request: ReportRequest, listener: Listener | None = None) -> ReportResult:
    """Write the report as one self-contained HTML file and as Markdown.

    Args:
        request: What to report.  The verdict of the validation may be a fail.
        listener: Listener for progress.

    Returns:
        The verdict and the files.

    Raises:
        ReportError: A record cannot be read, or a file is not the one that was validated.
        FrameError: A capture is invalid.
        ValidationError: A model cannot be run.
        WorkspaceError: A file cannot be written.
    """
    validation = _record(request.validation)
    _check_files(validation, request)
    notes: list[str] = []
    evaluation = _read_evaluation(request.evaluation, validation, notes)
    latency = None if request.latency is None else _record(request.latency)
    images = _images(request, validation, notes, listener or SilentListener())
    made = build_page(
        validation,
        evaluation,
        latency,
        read_published_accuracy(),
        images,
        tuple(Fact(*pair) for pair in request.provenance),
        tuple(notes),
    )
    write_bytes(request.markdown, render_markdown(made).encode())
    write_bytes(request.html, render_html(made, gradient(), ticks()).encode())
    return ReportResult(
        validation["verdict"],
        request.html,
        request.markdown,
        tuple(frame.name for frame in images.frames),
    )


def _record(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(
            f"{path}: cannot be read: {error}",
            kept="No report was written.",
            hint="Run the stage that writes it again, or remove it.",
        ) from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMAS.get(path.stem):
        raise ReportError(
            f"{path}: expected a record of schema {SCHEMAS.get(path.stem)}",
            kept="No report was written.",
            hint="Create it again with this version of the toolchain.",
        )
    return found


def _check_files(validation: Mapping[str, Any], request: ReportRequest) -> None:
    """Check that all files are those that were validated."""
    irs = [path for _, xml in request.irs for path in (xml, xml.with_suffix(".bin"))]
    folder = request.validation.parent
    paths = {
        path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name: path
        for path in (request.checkpoint, request.onnx, *irs)
    }
    for name, digest in validation["files"].items():
        path = paths.get(name, folder / name)
        with os_errors(path, "read"):
            state = "been deleted" if not path.is_file() else "changed"
            same = state == "changed" and str(file_digest(path)) == digest
        if not same:
            raise ReportError(
                f"{path}: has {state} since {request.validation.name} was written",
                kept="No report was written.",
                hint="Run `matting validate`, or `matting build`, with the same options first.",
            )


def _read_evaluation(
    path: Path | None, validation: Mapping[str, Any], notes: list[str]
) -> Mapping[str, Any] | None:
    """Read the evaluation; None if it is one of other weights."""
    if path is None:
        return None
    evaluation, key = _record(path), "checkpoint_sha384"
    if (evaluation.get("facts") or {}).get(key) != validation["facts"].get(key):
        notes.append(
            f"{path.name} was made with another checkpoint and was left out; "
            "run the evaluation again."
        )
        return None
    return evaluation


def _images(
    request: ReportRequest, validation: Mapping[str, Any], notes: list[str], listener: Listener
) -> ReportImages:
    settings = ExportSettings(**validation["settings"])
    loaders = _frames(request, settings, notes)
    original = PyTorchRuntime(request.checkpoint, settings)
    variants = [(_shown_variant(run), _runtime(request, run)) for run in validation["runs"]]
    shown: list[FrameImages] = []
    widest = WIDEST if len(loaders) <= MANY else WIDEST // 2
    runs = len(loaders) * (1 + len(variants))
    with listener.task("Reporting", runs, "runs") as task, background_worker() as submit:
        done = 0
        for kind, load in loaders:
            frame = load()
            reference = original.infer(frame.src, frame.bgr)
            gallery = FrameGallery(frame, kind, reference, widest)
            task.reach(done := done + 1)
            for variant, runtime in variants:
                found = _same_shape(runtime.infer(frame.src, frame.bgr), reference, variant)
                submit(partial(gallery.add, variant, found))
                task.reach(done := done + 1)
            submit(partial(_finish, gallery, shown))
    return ReportImages(tuple(shown), tuple(variant.build_histograms() for variant, _ in variants))


def _finish(gallery: FrameGallery, shown: list[FrameImages]) -> None:
    shown.append(gallery.build())


def _frames(
    request: ReportRequest, settings: ExportSettings, notes: list[str]
) -> list[tuple[str, Callable[[], Frame]]]:
    """List kind and loader of each frame; only one frame is in memory at a time."""
    size = settings.width, settings.height
    loaders: list[tuple[str, Callable[[], Frame]]] = [
        (GENERATED, partial(composite, request.seed + index, *size))
        for index in range(request.composites)
    ]
    pairs = [pair for folder in request.captures for pair in read_pairs(folder)]
    if len(pairs) > request.at_most:
        notes.append(f"Of {len(pairs)} captures the first {request.at_most} are shown.")
    for name, src, bgr in pairs[: request.at_most]:
        loaders.append((CAPTURE, partial(load_pair, name, src, bgr, size=size)))
    return loaders


def _shown_variant(run: Mapping[str, Any]) -> ReportedVariant:
    bounds = (run.get("limits") or {}).get("bounds") or {}
    alpha, foreground = (bounds.get(max_error_of(name)) for name in OUTPUTS)
    return ReportedVariant(get_variant(run).id, format_run_label(run), (alpha, foreground))


def _runtime(request: ReportRequest, run: Mapping[str, Any]) -> Runtime:
    variant = get_variant(run)
    if variant.form == ONNX:
        return OnnxRuntime(request.onnx)
    return OpenVinoRuntime(dict(request.irs)[variant.form], variant.hint, variant.device)


def _same_shape(found: Inference, expected: Inference, variant: ReportedVariant) -> Inference:
    if found.fgr.shape != expected.fgr.shape or found.pha.shape != expected.pha.shape:
        raise ReportError(
            f"{variant.label}: its outputs have the shape {found.fgr.shape}, the original's "
            f"{expected.fgr.shape}",
            kept="No report was written.",
            hint="Export and convert again for this size.",
        )
    return found
