"""Names that are safe to join to a folder on every operating system."""

from __future__ import annotations

import os
import re
import unicodedata
from functools import partial

MODEL_NAME = re.compile(r"[0-9A-Za-z._-]+")
COMPONENT_BYTES = 200  # file systems allow 255; partial and lock files add to the name
TOTAL_BYTES = 1000
_DEVICES = re.compile(r"(?i:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$|clock\$)")
# Folders and files from which tools run commands or read settings; git~1 is Windows' name of .git.
_TOOLS = re.compile(
    r"\.(?:git|github|gitlab|gitmodules|gitconfig|hg|svn|bzr|jj|cache|config|ssh|vscode|idea|fleet|"
    r"devcontainer|circleci|husky|direnv|envrc|bashrc|profile|zshrc|netrc|npmrc|pypirc)"
    r"|git~[0-9]+|autorun\.inf|desktop\.ini"
)


def find_path_fault(name: str, *, any_system: bool = True) -> str:
    """Find what is wrong with a relative path.

    A safe path, joined to a folder, is inside that folder on Linux, macOS and Windows, and can be
    created there.

    Args:
        name: The path, with `/`.
        any_system: False: it only has to be safe on this operating system.

    Returns:
        The fault, "" if the path is safe.
    """
    if not name:
        return "is empty"
    if "\\" in name:
        return "has a backslash"
    if name.startswith("/"):
        return "is absolute"
    if _bytes(name) > TOTAL_BYTES:
        return f"is longer than {TOTAL_BYTES} bytes"
    all_names = not any_system and os.name == "posix"
    find_fault = partial(_find_fault_of_part, all_names=all_names)
    return next(filter(None, map(find_fault, name.split("/"))), "")


def _find_fault_of_part(part: str, *, all_names: bool) -> str:
    """Find a fault; `all_names`: names that only Windows refuses are accepted."""
    forbidden = re.search(r'[<>:"|?*]', part)
    faults: dict[str, object] = {
        "has an empty part": not part,
        f'has a part "{part}"': part in (".", ".."),
        "has a non-printable character": not part.isprintable(),
        "has a part that other tools read settings or commands from": _TOOLS.fullmatch(fold(part)),
        f"has a part longer than {COMPONENT_BYTES} bytes": _bytes(part) > COMPONENT_BYTES,
    }
    only_windows: dict[str, object] = {
        f"has a character that some systems forbid ({forbidden and forbidden[0]})": forbidden,
        "has a part that starts with a space": part.startswith(" "),
        "has a part that ends with a dot or a space": part.endswith((".", " ")),
        "has a part that is a device name on Windows": _DEVICES.fullmatch(
            part.partition(".")[0].rstrip(" ")
        ),
    }
    if not all_names:
        faults |= only_windows
    return next((text for text, is_so in faults.items() if is_so), "")


def fold(name: str) -> str:
    """Return the same text for names that are one file on some system: case, composed accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def find_name_fault(name: str) -> str:
    """Find what is wrong with a model's name, which becomes a folder; "" if nothing is."""
    if not MODEL_NAME.fullmatch(name):
        return "has characters other than letters, digits and . _ -" if name else "is empty"
    return find_path_fault(name)
