"""stdout is data: results for scripts."""

from __future__ import annotations

import json


def print_json(value: object) -> None:
    """Print a result as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
