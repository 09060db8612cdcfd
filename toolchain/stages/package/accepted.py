"""Decide whether a build may be packaged: validated, passed, and unchanged since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.definitions import schemas
from toolchain.definitions.variants import ONNX
from toolchain.errors import PackageError
from toolchain.stages.package.request import PackageRequest
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import file_digest
from toolchain.workspace.ledger import Ledger

Json = Mapping[str, Any]


@dataclass(frozen=True)
class AcceptedBuild:
    """Records of a build that may be packaged.

    Attributes:
        validation: Content of validation.json.
        evaluation: Content of evaluation.json; None if it does not exist.
        precisions: Precisions of the validated IRs.
        models: Paths of the ONNX and the validated IRs below the folder of the build.
    """

    validation: Json
    evaluation: Json | None
    precisions: tuple[str, ...]
    models: tuple[str, ...]

    @property
    def facts(self) -> Json:
        """What every record of the build states about its model."""
        facts: Json = self.validation["facts"]
        return facts


def load_accepted_build(request: PackageRequest) -> AcceptedBuild:
    """Load the records of a build and check it.

    Args:
        request: What to package.

    Returns:
        The records.

    Raises:
        PackageError: validation.json does not exist, was not written by the validation, is not a
            pass, or was written for other files; likewise for the report.
    """
    layout = request.layout
    validation = _load_record(
        layout.validation, schemas.VALIDATION, "this build has not been validated"
    )
    ledger = Ledger(layout.folder)
    if validation["verdict"] != "pass":
        raise _refuse(request, f"{layout.validation}: the verdict is {validation['verdict']}")
    if validation["model"] != layout.name:
        raise _refuse(request, f"{layout.validation}: the model is {validation['model']}")
    if validation["facts"]["license"] != request.model.license_url:
        raise _refuse(request, f"{request.model.config_path}: not the model.yml of this build")
    for stage, path in (
        ("validate", layout.validation),
        ("report", layout.report),
        ("report", layout.report_text),
    ):
        if not path.is_file():
            raise _refuse(request, f"{path}: file not found")
        with os_errors(path, "read"):
            if ledger.recorded(stage, path) != str(file_digest(path)):
                raise _refuse(
                    request, f"{path}: changed since {stage} wrote it, or {stage} did not finish"
                )
    _check_files(request, validation)
    forms = dict.fromkeys(str(run["form"]) for run in validation["runs"])
    precisions = tuple(form for form in forms if form != ONNX)
    files = [layout.onnx, *(layout.ir(precision) for precision in precisions)]
    models = tuple(path.relative_to(layout.folder).as_posix() for path in files)
    for name in models:
        if name not in validation["files"]:
            raise _refuse(request, f"{layout.folder / name}: not covered by the validation")
    if not precisions:
        raise _refuse(request, f"{layout.validation}: covers no IR")
    return AcceptedBuild(validation, _load_evaluation(request, validation), precisions, models)


def _check_files(request: PackageRequest, validation: Json) -> None:
    for name, digest in validation["files"].items():
        path = request.layout.folder / name
        with os_errors(path, "read"):
            if not path.is_file() or str(file_digest(path)) != digest:
                state = "changed" if path.is_file() else "removed"
                raise _refuse(request, f"{path}: {state} since it was validated")


def _load_evaluation(request: PackageRequest, validation: Json) -> Json | None:
    path, key = request.layout.evaluation, "checkpoint_sha384"
    if not path.is_file():
        return None
    found = _load_record(path, schemas.EVALUATION, "this build has not been evaluated")
    if (found.get("facts") or {}).get(key) != validation["facts"][key]:
        raise _refuse(
            request, f"{path}: is for another checkpoint", "Run `matting evaluate` again."
        )
    return found


def _load_record(path: Path, schema: int, missing: str) -> Json:
    hint = "Run `matting build` with the same options first."
    try:
        found: Json = json.loads(path.read_text(encoding="utf-8"))
        known = found["schema"] == schema
    except FileNotFoundError as error:
        raise _not_packaged(f"{path}: file not found: {missing}", hint) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_packaged(f"{path}: not a readable record: {error}", hint) from error
    if not known:
        raise _not_packaged(
            f"{path}: schema {found['schema']!r}, expected {schema}",
            "Build it again with this version of the toolchain.",
        )
    return found


def _refuse(request: PackageRequest, reason: str, hint: str = "") -> PackageError:
    return _not_packaged(
        f"{request.layout.name}: cannot be packaged: {reason}",
        hint or "Run `matting build` with the same options; only builds that pass are packaged.",
    )


def _not_packaged(message: str, hint: str) -> PackageError:
    return PackageError(message, kept="Nothing was packaged.", hint=hint)
