"""The process in which a pattern of a model.yml is applied: it may need any time and memory."""

from __future__ import annotations

import re
import warnings
from typing import Any

from toolchain.workspace.limited_process import answer


def substitute(work: dict[str, Any]) -> tuple[str, int]:
    """Replace the pattern in a text; returns the new text and the number of replacements."""
    warnings.simplefilter("ignore")  # of unusual but valid patterns
    return re.subn(work["pattern"], work["replacement"], work["text"], count=work["count"])


if __name__ == "__main__":
    answer(substitute)
