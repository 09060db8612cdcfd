"""Records of finished stages, by which a stage is skipped if its result is up to date.

A record is written after the outputs, so a killed stage has none and runs again.  A record is
valid for the same key (digests of inputs, parameters, versions of libraries and of this code) as
long as every output has the recorded digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.workspace.atomic import write_json
from toolchain.workspace.digests import file_digest
from toolchain.workspace.environment import code_digest, version

FOLDER = ".stages"
Json = dict[str, Any]


@dataclass(frozen=True)
class Ledger:
    """The records of one model's folder.

    Attributes:
        folder: The model's folder; outputs are recorded relative to it.
    """

    folder: Path

    def current(self, stage: str, key: str) -> Json | None:
        """Return the recorded result of `stage` if it is up to date for `key`, else None."""
        try:
            record = json.loads(self._path(stage).read_text(encoding="utf-8"))
            if record["key"] != key:
                return None
            for name, digest in record["outputs"].items():
                if str(file_digest(self.folder / name)) != digest:
                    return None
            result = record["result"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return result if isinstance(result, dict) else None

    def enter(self, stage: str, key: str, outputs: Iterable[Path], result: Json) -> None:
        """Record the outputs (files in the folder) and the result of `stage`."""
        digests = {
            path.relative_to(self.folder).as_posix(): str(file_digest(path)) for path in outputs
        }
        record = {"stage": stage, "key": key, "outputs": digests, "result": result}
        write_json(self._path(stage), record)

    def recorded(self, stage: str, output: Path, key: str | None = None) -> str | None:
        """Return the recorded digest of an output, which itself need not exist.

        Args:
            stage: Name of the record.
            output: The file.
            key: Key that the record must have; None for any.

        Returns:
            The digest as "sha256:...", None without such a record.
        """
        try:
            record = json.loads(self._path(stage).read_text(encoding="utf-8"))
            if key is not None and record["key"] != key:
                return None
            return str(record["outputs"][output.relative_to(self.folder).as_posix()])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def forget(self, stage: str) -> None:
        """Remove the record of `stage`; call it before the outputs change."""
        self._path(stage).unlink(missing_ok=True)

    def _path(self, stage: str) -> Path:
        return self.folder / FOLDER / f"{stage}.json"


def compute_key(
    inputs: Mapping[str, Path], parameters: Mapping[str, object], tools: Iterable[str]
) -> str:
    """Compute the key of a run from inputs, parameters, library versions and our own code.

    Args:
        inputs: Files by a name that does not depend on their place.
        parameters: Whatever else determines the result; must be serializable as JSON.
        tools: Names of the distributions whose versions matter.

    Raises:
        OSError: An input cannot be read.
    """
    facts = {
        "inputs": {name: str(file_digest(path)) for name, path in sorted(inputs.items())},
        "parameters": parameters,
        "tools": {tool: version(tool) for tool in sorted(tools)},
        "code": code_digest(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
