"""The incumbent's environment: made, and used without telemetry, home folder or network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAUNCHER = Path(__file__).with_name("launcher.py")
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
TELEMETRY = "openvino-telemetry"  # its tools go without it where it can't be imported
OLD = ("openvino==2024.6.0", "numpy<2.2")  # what that OpenVINO asks for
REPLACED = ("openvino", "numpy")
AT_ONCE = 4  # runs that nobody times; some of them only wait
NOWHERE = "http://127.0.0.1:9"


class CantBeMadeError(Exception):
    """Why there is no environment."""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Tools:
    """Both sets of tools.  `incumbent`: its Python.  `home`: a folder that must stay empty."""

    incumbent: Path
    home: Path

    def theirs(self, models: Path | None, tool: str, *arguments: object) -> Ran:
        """Run the incumbent's `tool` on a collection, or on its own."""
        return self.run(self.command_of_theirs(models, tool, *arguments), theirs=True)

    def ours(self, models: Path | None, tool: str, *arguments: object) -> Ran:
        """Run our `tool` on a collection, or on the built-in model."""
        return self.run(self.command_of_ours(models, tool, *arguments))

    def command_of_theirs(self, models: Path | None, tool: str, *arguments: object) -> list[str]:
        """What `theirs` runs."""
        words = (LAUNCHER, models or "-", tool, *arguments)
        return [str(self.incumbent), *map(str, words)]

    def command_of_ours(self, models: Path | None, tool: str, *arguments: object) -> list[str]:
        """What `ours` runs."""
        root = () if models is None else ("--models_root", models)
        return [sys.executable, "-m", f"toolchain.cli.{tool}", *map(str, (*root, *arguments))]

    def run(self, command: Sequence[str], *, theirs: bool = False) -> Ran:
        """Run with nothing reachable but loopback, from the repository's root."""
        done = subprocess.run(
            command,
            env=self.environment(theirs=theirs),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def environment(self, *, theirs: bool) -> Mapping[str, str]:
        """Another home folder, no network, and for the incumbent its own programs first."""
        changes = {"HOME": str(self.home), "USERPROFILE": str(self.home), "CI": "true"}
        for scheme in ("http", "https"):
            changes |= {f"{scheme}_proxy": NOWHERE, f"{scheme.upper()}_PROXY": NOWHERE}
        changes |= {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
        if theirs:
            path = os.pathsep.join((str(self.incumbent.parent), os.environ.get("PATH", "")))
            changes |= {"PATH": path, "PYTHONWARNINGS": "ignore"}
        return os.environ | changes

    @property
    def collection(self) -> Path:
        """Where the incumbent's own collection lies."""
        return Path(self.theirs(None, "collection").out.strip())

    def mo(self) -> Path:
        """Model Optimizer."""
        return self.incumbent.with_name("mo.exe" if os.name == "nt" else "mo")


def python_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    inside = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return folder.absolute().joinpath(*inside)


def incumbent(folder: Path) -> Path:
    """The Python of the incumbent's environment in `folder`, made if need be.

    Raises CantBeMadeError where its packages can't be had, such as for Python 3.13.
    """
    wanted = [text for text in requires("background-matting-toolchain") or () if _is_omz(text)]
    packages = [text.partition(";")[0].strip() for text in wanted]
    python = python_of(folder)
    if sys.version_info >= (3, 13):
        raise CantBeMadeError("openvino-dev 2024.6.0 needs numpy < 2, which Python 3.13 has not")
    if not (folder / ".ready").is_file():
        _make(folder, ["-c", str(CONSTRAINTS), *packages])
        _call([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", TELEMETRY])
        (folder / ".ready").touch()
    return python


def older_openvino(folder: Path) -> Path:
    """A Python that has everything of this one, but OpenVINO 2024.6.0, made if need be.

    Raises CantBeMadeError where that release can't be had.
    """
    if not (folder / ".ready").is_file():
        _make(folder, ["--no-deps", *OLD])
        (place,) = folder.absolute().glob("**/site-packages")
        here = next(path for path in sys.path if path.endswith("site-packages"))
        # One by one: OpenVINO would add a newer one's folder further down the path to its own.
        for path in Path(here).iterdir():
            if not path.name.startswith(REPLACED) and not (place / path.name).exists():
                (place / path.name).symlink_to(path)
        (folder / ".ready").touch()
    return python_of(folder)


def _is_omz(requirement: str) -> bool:
    return re.search(r"extra\s*==\s*['\"]omz['\"]", requirement) is not None


def _make(folder: Path, arguments: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _call([sys.executable, "-m", "venv", str(folder)])
    pip = [str(python_of(folder)), "-m", "pip", "install", "--quiet"]
    _call([*pip, "--disable-pip-version-check", *arguments])


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise CantBeMadeError((lines or done.stderr.splitlines() or ["pip failed"])[-1])
