"""Debian's Chromium, headless, for tests that look at pages."""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)
PATIENCE = 240  # seconds; the machine may be busy with something else


@contextmanager
def chromium(
    profile: Path, flags: Sequence[str] = (), preferences: Mapping[str, Any] | None = None
) -> Iterator[Any]:
    """A WebDriver with a fresh profile; the test is skipped where there is no Chromium."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium with its chromedriver is installed")
    os.environ.update(SE_OFFLINE="true", SE_AVOID_STATS="true")  # it would look for updates
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, *flags, f"--user-data-dir={profile}", "--window-size=1280,900"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", dict(preferences or {}))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    page = webdriver.Chrome(options=options, service=Service(driver))
    try:
        page.set_page_load_timeout(PATIENCE)
        page.set_script_timeout(PATIENCE)
        yield page
    finally:
        page.quit()


def resize(page: Any, width: int, height: int, *, mobile: bool = False) -> None:
    """Show the page as on a screen of that size in CSS pixels."""
    shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)


def decoded(address: str, mode: str) -> np.ndarray:
    """The pixels of a picture at a `data:` address."""
    data = base64.b64decode(address.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert(mode))


def screenshot(page: Any) -> np.ndarray:
    """H x W x 3 of what is in the window."""
    return np.asarray(Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB"))
