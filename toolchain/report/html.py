"""The report as one self-contained HTML file: styles, script and images are embedded."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.report.chart import build_chart
from toolchain.report.text import DEMONSTRATION, format_power_of_ten

if TYPE_CHECKING:
    from toolchain.report.page import Page

FOLDER = Path(__file__).parents[1] / "data" / "report"
SOURCES = ("report.html", "macros.html", "report.css", "report.js")


def render_html(
    page: Page, gradient: list[tuple[float, str]], ticks: list[tuple[float, int]]
) -> str:
    """Render the report.

    The Content-Security-Policy allows only the page's own style and script, by their digests, and
    images from `data:` URLs.

    Args:
        page: The content.
        gradient: Scale of the heat maps: position and colour.
        ticks: Ticks of that scale: position and power of ten.

    Returns:
        The HTML.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = (_source(name) for name in ("report.css", "report.js"))
    return environment.get_template("report.html").render(
        page=page,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        policy="; ".join(
            (
                "default-src 'none'",
                "img-src data:",
                f"style-src '{_digest(style)}'",
                f"script-src '{_digest(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
        data=Markup(_data(page)),  # noqa: S704 - escaped there
        charts=[build_chart(item) for item in page.images.histograms],
        gradient=gradient,
        ticks=[(place, format_power_of_ten(power)) for place, power in ticks],
        demonstration=DEMONSTRATION,
    )


def compute_sources_digest() -> str:
    """Compute the sha256 over templates, style and script, on which the report also depends."""
    hasher = hashlib.sha256()
    for name in SOURCES:
        hasher.update(name.encode() + b"\0" + (FOLDER / name).read_bytes() + b"\0")
    return hasher.hexdigest()


def _source(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(page: Page) -> str:
    """Data for the script, as JSON that cannot close its element."""
    content = {
        "chosen": page.chosen,
        "labels": dict(page.runs),
        "worst": [
            {item.run: item.worst for item in frame.variants} for frame in page.images.frames
        ],
    }
    return json.dumps(content, ensure_ascii=True).replace("<", "\\u003c")
