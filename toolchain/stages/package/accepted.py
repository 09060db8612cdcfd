"""Which builds may be handed over: validated, passed, and nothing changed since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import PackageError
from toolchain.stages.package.request import PackageRequest
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import file_digest
from toolchain.workspace.ledger import Ledger

SCHEMA = 1
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Accepted:
    """The records of a build that may be handed over.

    `evaluation`: None if there was none of these weights.  `precisions`: of the validated IRs.
    `ports`: by file, the inputs and outputs that it has.
    """

    validation: Json
    evaluation: Json | None
    precisions: tuple[str, ...]
    ports: dict[str, list[dict[str, Any]]]

    @property
    def facts(self) -> Json:
        """What every file of the build says about itself."""
        facts: Json = self.validation["facts"]
        return facts


def accepted(request: PackageRequest) -> Accepted:
    """The build's records.

    Raises PackageError if validation.json is not there, says fail, was not written by the
    validation, or speaks of other files than those that are there; likewise for the report.
    """
    from toolchain.stages.package.ports import ports_of

    layout = request.layout
    validation = _record(layout.validation, "has not been validated")
    ledger = Ledger(layout.folder)
    if validation["verdict"] != "pass":
        raise _refused(request, f"{layout.validation}: says {validation['verdict']}")
    if validation["model"] != layout.name:
        raise _refused(request, f"{layout.validation}: is of {validation['model']}")
    if validation["facts"]["license"] != request.model.license_url:
        raise _refused(request, f"{request.model.config_path}: is not the model.yml of this build")
    for stage, path in (
        ("validate", layout.validation),
        ("report", layout.report),
        ("report", layout.report_text),
    ):
        if not path.is_file():
            raise _refused(request, f"{path}: is not there")
        with os_errors(path, "read"):
            if ledger.recorded(stage, path) != str(file_digest(path)):
                raise _refused(
                    request, f"{path}: is not what {stage} wrote, or {stage} did not end well"
                )
    _hold(request, validation)
    forms = dict.fromkeys(str(run["form"]) for run in validation["runs"])
    precisions = tuple(form for form in forms if form != "ONNX")
    files = [layout.onnx, *(layout.ir(precision) for precision in precisions)]
    for path in files:
        if path.relative_to(layout.folder).as_posix() not in validation["files"]:
            raise _refused(request, f"{path}: the verdict does not speak of it")
    if not precisions:
        raise _refused(request, f"{layout.validation}: speaks of no IR")
    return Accepted(
        validation,
        _evaluation(request, validation),
        precisions,
        {path.relative_to(layout.folder).as_posix(): ports_of(path) for path in files},
    )


def _hold(request: PackageRequest, validation: Json) -> None:
    for name, digest in validation["files"].items():
        path = request.layout.folder / name
        with os_errors(path, "read"):
            if not path.is_file() or str(file_digest(path)) != digest:
                state = "changed" if path.is_file() else "gone"
                raise _refused(request, f"{path}: has {state} since it was validated")


def _evaluation(request: PackageRequest, validation: Json) -> Json | None:
    path, key = request.layout.evaluation, "checkpoint_sha384"
    if not path.is_file():
        return None
    found = _record(path, "has no evaluation")
    if (found.get("facts") or {}).get(key) != validation["facts"][key]:
        raise _refused(
            request, f"{path}: is of another checkpoint", "Run `matting evaluate` again."
        )
    return found


def _record(path: Path, without: str) -> Json:
    try:
        found: Json = json.loads(path.read_text(encoding="utf-8"))
        known = found["schema"] == SCHEMA
    except FileNotFoundError as error:
        raise PackageError(
            f"{path}: is not there: this build {without}",
            kept="Nothing was packaged.",
            hint="Run `matting build` with the same options first.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PackageError(
            f"{path}: can't be read as a record: {error}",
            kept="Nothing was packaged.",
            hint="Run `matting build` with the same options first.",
        ) from error
    if not known:
        raise PackageError(
            f"{path}: is of schema {found['schema']!r}, expected {SCHEMA}",
            kept="Nothing was packaged.",
            hint="Make it again with this version of the toolchain.",
        )
    return found


def _refused(request: PackageRequest, why: str, hint: str = "") -> PackageError:
    return PackageError(
        f"{request.layout.name}: refused to package: {why}",
        kept="Nothing was packaged.",
        hint=hint or "Run `matting build` with the same options; only what passes is packaged.",
    )
