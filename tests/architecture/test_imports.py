"""The shape of the code: which way imports run, and what start-up may load."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPORTS_INSIDE_FUNCTIONS = 60
HEAVY = (
    "torch",
    "openvino",
    "onnx",
    "onnxruntime",
    "numpy",
    "scipy",
    "PIL",
    "requests",
    "rich",
    "dask",
    "jinja2",
    "av",
    "cv2",
    "starlette",
    "uvicorn",
    "nncf",
)


def test_imports_run_one_way() -> None:
    """The contracts in pyproject.toml hold: layers downwards, stages apart."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["toolchain.cli.main", "--help"],
        ["toolchain.cli.main", "build", "--help"],
        ["toolchain.cli.main", "evaluate", "--help"],
        ["toolchain.cli.main", "run", "--help"],
        ["toolchain.cli.main", "serve", "--help"],
        ["toolchain.cli.main", "verify", "--help"],
        ["toolchain.omz.info_dumper", "--all"],
        ["toolchain.omz.downloader", "--help"],
        ["toolchain.omz.converter", "--print_all"],
        ["toolchain.omz.quantizer", "--print_all"],
    ],
    ids=" ".join,
)
def test_start_up_loads_nothing_heavy(arguments: list[str]) -> None:
    """Help, lists and info load neither torch nor OpenVINO nor anything else of their weight."""
    code = (
        "import sys; from importlib import import_module;"
        f"code = import_module({arguments[0]!r}).main({arguments[1:]!r});"
        f"print([name for name in {HEAVY!r} if name in sys.modules], code, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stderr.splitlines()[-1] == "[] 0"
    assert done.stdout


IMPORTS = {
    "openvino": "import toolchain.runtimes.openvino_api",
    "nncf": "from toolchain.workspace.third_party import without_telemetry\n"
    "with without_telemetry(): import nncf",
}


@pytest.mark.parametrize("package", IMPORTS)
def test_importing_a_library_reports_no_usage(package: str, tmp_path: Path) -> None:
    """Neither OpenVINO nor NNCF writes an identifier into the home folder or opens a connection."""
    code = (
        "import os, pathlib, socket, sys\n"
        "def refuse(*_, **__): os._exit(9)\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        f"{IMPORTS[package]}\nimport time; time.sleep(1)\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
    )
    cleared = ("CI", "NNCF_CI", "NNCF_DEV", "GITHUB_ACTIONS")  # under which they are quiet anyway
    environment = {key: value for key, value in os.environ.items() if key not in cleared}
    environment |= {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_importing_the_package_leaves_the_modules_of_the_host_program_alone() -> None:
    """`import toolchain` adds only its own module to sys.modules."""
    code = (
        "import sys, typing; before = set(sys.modules); import toolchain; "
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['toolchain']"


def test_only_one_module_imports_openvino() -> None:
    """All code goes through `runtimes.openvino_api`, which keeps telemetry away."""
    importing = re.compile(r"^\s*(import|from) openvino\b", re.MULTILINE)
    found = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "toolchain").rglob("*.py")
        if importing.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["toolchain/runtimes/openvino_api.py"]


def test_nothing_loads_what_can_run_code() -> None:
    """Checkpoints are read by `toolchain.checkpoints`, which runs nothing in them."""
    running = re.compile(
        r"\btorch\.load\(|\bjit\.load\(|\bpickle\.(?:load|loads|Unpickler)\b|allow_pickle="
        r"|from torch(?:\.jit)? import .*\bload\b|from pickle import|import (?:pickle|marshal)$",
        re.MULTILINE,
    )
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "toolchain").rglob("*.py"))
        for line in running.findall(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_few_imports_stand_inside_functions() -> None:
    """Only what start-up must not load, or what is optional, is imported inside a function."""
    inside = [
        f"{path.relative_to(ROOT)}:{statement.lineno}"
        for path in sorted((ROOT / "toolchain").rglob("*.py"))
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in ast.walk(function)
        if isinstance(statement, ast.Import | ast.ImportFrom)
    ]
    assert len(inside) <= IMPORTS_INSIDE_FUNCTIONS, inside


def test_nothing_in_the_project_names_a_machine_or_a_registry() -> None:
    """No tracked file has this checkout's path, a home folder's, or a package index's address."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout.decode()
    if not listed:
        pytest.skip("not a git checkout")
    hosts = r"(?:pypi|pythonhosted|download\.pytorch)\.org"
    telling = re.compile(rf"{re.escape(str(ROOT))}\b|/(?:home|Users)/[a-z]|//{hosts}/")
    found = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.suffix in (".safetensors", ".png", ".jpg") or not path.is_file():
            continue
        found += [name] if telling.search(path.read_text(encoding="utf-8")) else []
    assert found == []
