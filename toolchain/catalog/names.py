"""Which names from a model.yml are safe to join to a folder, on every system."""

from __future__ import annotations

import re

MODEL_NAME = re.compile(r"[0-9A-Za-z._-]+")
COMPONENT_BYTES = 200  # file systems allow 255; partial and lock files add to the name
TOTAL_BYTES = 1000
_DEVICES = re.compile(r"(?i:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)")


def fault_of_path(name: str) -> str:
    """What is wrong with `name` as a relative path with `/`; "" if it is safe.

    A safe name, joined to a folder, lies inside that folder on Linux, macOS and Windows, and can
    be created there.
    """
    if not name:
        return "is empty"
    if "\\" in name:
        return "has a backslash"
    if name.startswith("/"):
        return "is absolute"
    if _bytes(name) > TOTAL_BYTES:
        return f"is longer than {TOTAL_BYTES} bytes"
    for part in name.split("/"):
        if fault := _fault_of_part(part):
            return fault
    return ""


def _fault_of_part(part: str) -> str:
    forbidden = re.search(r'[<>:"|?*]', part)
    faults = {
        "has an empty part": not part,
        f'has a part "{part}"': part in (".", ".."),
        "has a character that can't be printed": not part.isprintable(),
        f"has a character that not every system allows ({forbidden and forbidden[0]})": forbidden,
        "has a part that begins with a space": part.startswith(" "),
        "has a part that ends with a dot or a space": part.endswith((".", " ")),
        "has a part that Windows reserves for a device": _DEVICES.fullmatch(
            part.partition(".")[0].rstrip(" ")
        ),
        f"has a part longer than {COMPONENT_BYTES} bytes": _bytes(part) > COMPONENT_BYTES,
    }
    return next((text for text, is_so in faults.items() if is_so), "")


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def fault_of_model_name(name: str) -> str:
    """What is wrong with `name` as a model's name, which becomes a folder; "" if it is safe."""
    if not MODEL_NAME.fullmatch(name):
        return "has other characters than letters, digits and . _ -" if name else "is empty"
    return fault_of_path(name)
