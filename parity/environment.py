"""Environments for the comparison, without telemetry, home folder or network."""

from __future__ import annotations

import hashlib
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
TELEMETRY = "openvino-telemetry"  # Open Model Zoo works without it
OLDER = ("openvino==2024.6.0", "numpy<2.2")  # which that OpenVINO requires
REPLACED = ("openvino", "numpy")
SIDES = ("omz", "ours")
CONCURRENT_RUNS = 4  # where no time is measured; some of them only wait
UNREACHABLE = "http://127.0.0.1:9"


class UnavailableError(Exception):
    """An environment cannot be created; the message is the reason."""


@dataclass(frozen=True)
class Completed:
    """Result of a command.

    Attributes:
        code: Exit code.
        out: Text on stdout.
        err: Text on stderr.
    """

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Tools:
    """The commands of both sides.

    Attributes:
        omz_python: Python of the environment of Open Model Zoo.
        home: Home folder for all commands; it must stay empty.
    """

    omz_python: Path
    home: Path

    def omz(self, models: Path | None, tool: str, *arguments: object) -> Completed:
        """Run `tool` of Open Model Zoo on a collection, by default its own."""
        return self.run(self.get_omz_command(models, tool, *arguments), omz=True)

    def ours(self, models: Path | None, tool: str, *arguments: object) -> Completed:
        """Run our `tool` on a collection, by default the built-in model."""
        return self.run(self.get_ours_command(models, tool, *arguments))

    def get_omz_command(self, models: Path | None, tool: str, *arguments: object) -> list[str]:
        """Command line that `omz` runs."""
        words = (LAUNCHER, models or "-", tool, *arguments)
        return [str(self.omz_python), *map(str, words)]

    def get_ours_command(self, models: Path | None, tool: str, *arguments: object) -> list[str]:
        """Command line that `ours` runs."""
        root = () if models is None else ("--models_root", models)
        return [sys.executable, "-m", get_module(tool), *map(str, (*root, *arguments))]

    def run(self, command: Sequence[str], *, omz: bool = False) -> Completed:
        """Run a command in the repository's root, where only loopback can be reached."""
        done = subprocess.run(
            command,
            env=self.get_environment(omz=omz),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    def get_environment(self, *, omz: bool) -> Mapping[str, str]:
        """Environment variables: another home folder, no network, for `omz` its programs first."""
        changes = {"HOME": str(self.home), "USERPROFILE": str(self.home), "CI": "true"}
        for scheme in ("http", "https"):
            changes |= {f"{scheme}_proxy": UNREACHABLE, f"{scheme.upper()}_PROXY": UNREACHABLE}
        changes |= {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
        if omz:
            path = os.pathsep.join((str(self.omz_python.parent), os.environ.get("PATH", "")))
            changes |= {"PATH": path, "PYTHONWARNINGS": "ignore"}
        return os.environ | changes

    @property
    def collection(self) -> Path:
        """Folder of Open Model Zoo's own collection."""
        return Path(self.omz(None, "collection").out.strip())


def get_module(tool: str) -> str:
    """Module of our command with the name of an Open Model Zoo tool."""
    return f"toolchain.omz.{tool.removeprefix('omz_')}"


def get_python(folder: Path) -> Path:
    """Path of the interpreter of a virtual environment."""
    inside = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return folder.absolute().joinpath(*inside)


def prepare_omz(folder: Path) -> Path:
    """Create the environment of Open Model Zoo unless it exists.

    Args:
        folder: Folder of the environment.

    Returns:
        Its Python.

    Raises:
        UnavailableError: The packages cannot be installed, for example with Python 3.13.
    """
    wanted = [text for text in requires("background-matting-toolchain") or () if _is_omz(text)]
    packages = [text.partition(";")[0].strip() for text in wanted]
    python = get_python(folder)
    if sys.version_info >= (3, 13):
        raise UnavailableError("openvino-dev 2024.6.0 needs numpy < 2, which has no Python 3.13")
    if not (folder / ".ready").is_file():
        _create(folder, ["-c", str(CONSTRAINTS), *packages])
        _call([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", TELEMETRY])
        (folder / ".ready").touch()
    return python


def prepare_older_openvino(folder: Path) -> Path:
    """Create an environment with the packages of this one, but OpenVINO 2024.6.0.

    Args:
        folder: Folder of the environment.

    Returns:
        Its Python.

    Raises:
        UnavailableError: That release cannot be installed.
    """
    if not (folder / ".ready").is_file():
        _create(folder, ["--no-deps", *OLDER])
        (target,) = folder.absolute().glob("**/site-packages")
        source = next(path for path in sys.path if path.endswith("site-packages"))
        # Links one by one: with `source` on the path, OpenVINO would add its newer files there.
        for path in Path(source).iterdir():
            if not path.name.startswith(REPLACED) and not (target / path.name).exists():
                (target / path.name).symlink_to(path)
        (folder / ".ready").touch()
    return get_python(folder)


def read_digests(folder: Path) -> dict[str, str]:
    """Read the digest of each file by its relative name, without hidden files and folders."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha384(path.read_bytes()).hexdigest()[:12]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    }


def _is_omz(requirement: str) -> bool:
    return re.search(r"extra\s*==\s*['\"]omz['\"]", requirement) is not None


def _create(folder: Path, arguments: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _call([sys.executable, "-m", "venv", str(folder)])
    pip = [str(get_python(folder)), "-m", "pip", "install", "--quiet"]
    _call([*pip, "--disable-pip-version-check", *arguments])


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise UnavailableError((lines or done.stderr.splitlines() or ["pip failed"])[-1])
