"""What each stage made from what: the ground on which a run is skipped.

A stage's record is written after its outputs, so a run that was killed leaves none and runs
again.  A record is good for the same key (digests of inputs, parameters, versions of the tools
and of this code) as long as every output still has the digest that was recorded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from toolchain.workspace.atomic import write_json
from toolchain.workspace.digests import file_digest

FOLDER = ".stages"
Json = dict[str, Any]


@dataclass(frozen=True)
class Ledger:
    """The records of one model's folder."""

    folder: Path

    def current(self, stage: str, key: str) -> Json | None:
        """The recorded result of `stage` if it would come out the same again, else None."""
        try:
            record = json.loads(self._path(stage).read_text(encoding="utf-8"))
            if record["key"] != key:
                return None
            for name, digest in record["outputs"].items():
                if str(file_digest(self.folder / name)) != digest:
                    return None
            result = record["result"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return result if isinstance(result, dict) else None

    def enter(self, stage: str, key: str, outputs: Iterable[Path], result: Json) -> None:
        """Record that `stage` made `outputs` (below the folder) and gave `result`."""
        digests = {
            path.relative_to(self.folder).as_posix(): str(file_digest(path)) for path in outputs
        }
        record = {"stage": stage, "key": key, "outputs": digests, "result": result}
        write_json(self._path(stage), record)

    def recorded(self, stage: str, output: Path, key: str | None = None) -> str | None:
        """The digest that the record of `stage`, made with `key` (None: any), has of `output`.

        None if there is no such record.  The file itself need not be there.
        """
        try:
            record = json.loads(self._path(stage).read_text(encoding="utf-8"))
            if key is not None and record["key"] != key:
                return None
            return str(record["outputs"][output.relative_to(self.folder).as_posix()])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def forget(self, stage: str) -> None:
        """Drop the record of `stage`, before its outputs are touched."""
        self._path(stage).unlink(missing_ok=True)

    def _path(self, stage: str) -> Path:
        return self.folder / FOLDER / f"{stage}.json"


def key_of(
    inputs: Mapping[str, Path], parameters: Mapping[str, object], tools: Iterable[str]
) -> str:
    """The key of a run: digests of `inputs`, `parameters` (as JSON), versions of `tools`, our code.

    Raises OSError if an input can't be read.
    """
    facts = {
        "inputs": {name: str(file_digest(path)) for name, path in sorted(inputs.items())},
        "parameters": parameters,
        "tools": {tool: version(tool) for tool in sorted(tools)},
        "code": code_digest(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@cache
def version(distribution: str) -> str:
    """The installed version of a distribution, "absent" if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"


@cache
def code_digest() -> str:
    """A digest of the toolchain's own code, the command line's part left out."""
    package = Path(__file__).parents[1]
    hasher = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package).as_posix()
        if not relative.startswith("cli/"):
            hasher.update(relative.encode() + b"\0" + path.read_bytes() + b"\0")
    return hasher.hexdigest()
