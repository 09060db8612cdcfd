"""The page of `matting serve` in Chromium, with a fake camera that plays a clip."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.browser import PATIENCE, chromium, decoded, resize, screenshot
from tests.support.clips import SIZE, make_walk, write_camera
from tests.support.serving import server

RATE, EMPTY, FULL = 10, 60, 60  # frames per second; number of frames without and with foreground
CAMERA = ("--use-fake-device-for-media-stream",)
ALLOWED = "--use-fake-ui-for-media-stream"


@pytest.fixture(scope="module")
def scene() -> tuple[list[np.ndarray], np.ndarray]:
    return make_walk(8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, scene: Any) -> Path:
    frames, plate = scene
    shown = [plate] * EMPTY + [frames[3]] * FULL
    return write_camera(tmp_path_factory.mktemp("camera") / "clip.y4m", shown, RATE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[Any]:
    flags = (*CAMERA, ALLOWED, f"--use-file-for-fake-video-capture={clip}")
    with chromium(tmp_path_factory.mktemp("profile"), flags) as page:
        yield page


@pytest.fixture(scope="module")
def address(converted: Path, browser: Any) -> Iterator[str]:
    assert browser  # without a browser the test is skipped before a server starts
    with server(converted) as served:
        yield served


@pytest.fixture
def page(browser: Any, address: str) -> Any:
    """The page, reloaded and connected, at the size of a desktop screen."""
    resize(browser, 1280, 900)
    browser.get_log("browser")
    browser.get(address)
    wait_until_connected(browser)
    return browser


def until(page: Any, condition: Callable[[Any], Any]) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait  # optional

    return WebDriverWait(page, PATIENCE, poll_frequency=0.05).until(condition)


def get_data(page: Any, name: str) -> str | None:
    found: str | None = page.execute_script(
        "return document.documentElement.dataset[arguments[0]] ?? null", name
    )
    return found


def wait_until_connected(page: Any) -> None:
    until(page, lambda page: get_data(page, "connection") == "open" and get_data(page, "model"))


def find(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def click(page: Any, selector: str) -> None:
    element = find(page, selector)
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def read_canvas(page: Any, name: str, mode: str = "RGBA") -> np.ndarray:
    address = page.execute_script(
        "return document.getElementById(arguments[0]).toDataURL('image/png')", name
    )
    return decoded(address, mode)


def count_replies(page: Any) -> int:
    return int(get_data(page, "replies") or 0)


def wait_for_replies(page: Any, count: int = 2) -> None:
    before = count_replies(page)
    until(page, lambda page: count_replies(page) >= before + count)


def is_shown(page: Any, image: np.ndarray) -> bool:
    """Whether the frame on the page is this image, within the loss of the camera and JPEG."""
    shown = read_canvas(page, "frame", "RGB")
    return shown.shape == image.shape and np.abs(shown.astype(int) - image).mean() < 8


def start_with_plate(page: Any, plate: np.ndarray) -> None:
    """Start the camera, and capture the clean plate while the room is empty."""
    click(page, "#camera")
    until(page, lambda page: get_data(page, "source") == "camera")
    page.execute_script("document.getElementById('delay').value = '0'")
    until(page, lambda page: not is_shown(page, plate))
    until(page, lambda page: is_shown(page, plate))
    click(page, "#capture")
    until(page, lambda page: get_data(page, "plate"))


def read_composite(page: Any, frame: np.ndarray) -> np.ndarray:
    """The composite, RGBA, of a frame."""
    until(page, lambda page: is_shown(page, frame))
    wait_for_replies(page)
    return read_canvas(page, "composite")


def test_alpha_follows_the_camera(page: Any, scene: Any) -> None:
    """With a foreground in the frame alpha and statistics change."""
    frames, plate = scene
    start_with_plate(page, plate)
    wait_for_replies(page)
    until(page, lambda page: is_shown(page, plate))
    wait_for_replies(page)
    empty = read_canvas(page, "alpha", "L").astype(int)
    until(page, lambda page: is_shown(page, frames[3]))
    wait_for_replies(page)
    full = read_canvas(page, "alpha", "L").astype(int)
    assert empty.shape == full.shape == SIZE[::-1]
    changed = np.abs(frames[3].astype(int) - plate).mean(2) > 40
    assert np.abs(full - empty)[changed].mean() > 20 + np.abs(full - empty)[~changed].mean()
    assert float(find(page, "#rate").text) > 0
    assert find(page, "#latency").text.endswith(" ms")
    assert [line for line in page.get_log("browser") if line["level"] == "SEVERE"] == []


def test_every_background(page: Any, scene: Any, tmp_path: Path) -> None:
    """The composite is foreground and alpha over the chosen background."""
    frames, plate = scene
    start_with_plate(page, plate)
    clear = read_composite(page, frames[3])
    assert clear[..., 3].min() < 128
    page.execute_script("socket.close = () => {}; socket.onmessage = () => {}")  # keep this frame
    clear = read_canvas(page, "composite").astype(float)
    cover = clear[..., 3:] / 255
    page.execute_script(
        """const input = document.getElementById('colour');
        input.value = '#2040c0';
        input.dispatchEvent(new Event('input'));"""
    )
    blue = read_canvas(page, "composite")
    expected = clear[..., :3] * cover + np.array([32, 64, 192]) * (1 - cover)
    assert (blue[..., 3] == 255).all()
    assert np.abs(blue[..., :3] - expected).max() < 6
    image = np.full((192, 320, 3), (200, 30, 90), np.uint8)
    Image.fromarray(image).save(tmp_path / "background.png")
    find(page, "#image").send_keys(str(tmp_path / "background.png"))
    until(page, lambda page: get_data(page, "background") == "image")
    over_image = read_canvas(page, "composite")
    expected = clear[..., :3] * cover + np.array([200, 30, 90]) * (1 - cover)
    assert np.abs(over_image[..., :3] - expected).max() < 6
    click(page, "input[value=blur]")
    until(page, lambda page: get_data(page, "background") == "blur")
    blurred = read_canvas(page, "composite", "RGB").astype(int)
    difference = np.abs(blurred - plate).mean(2)[cover[..., 0] < 0.02]
    assert 0.5 < difference.mean() < 60


def test_two_files_instead_of_a_camera(page: Any, scene: Any, tmp_path: Path) -> None:
    """A frame and a plate from disk give a matte; another aspect ratio is an error."""
    for name, pixels in (("frame", scene[0][5]), ("plate", scene[1]), ("odd", scene[1][:, :100])):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    find(page, "#plate-file").send_keys(str(tmp_path / "plate.png"))
    find(page, "#frame-file").send_keys(str(tmp_path / "frame.png"))
    until(page, lambda page: count_replies(page) >= 1)
    assert is_shown(page, scene[0][5])
    alpha = read_canvas(page, "alpha", "L")
    assert np.ptp(alpha) > 100
    find(page, "#plate-file").send_keys(str(tmp_path / "odd.png"))
    until(page, lambda page: "take both with the same camera" in find(page, "#message").text)


def test_another_precision_can_be_chosen(page: Any, scene: Any) -> None:
    """The page shows the precision that the server reports, and gets more replies."""
    from selenium.webdriver.support.ui import Select  # optional

    start_with_plate(page, scene[1])
    wait_for_replies(page)
    Select(find(page, "#model")).select_by_value("small-matting FP32")
    Select(find(page, "#hint")).select_by_value("f32")
    until(page, lambda page: get_data(page, "model") == "small-matting FP32 f32")
    assert "Input size 320x192, computed in f32" in find(page, "#about").text
    wait_for_replies(page, 3)


def test_a_reload_starts_over(page: Any, scene: Any) -> None:
    """After a reload the page connects again, has no clean plate, and works as before."""
    start_with_plate(page, scene[1])
    wait_for_replies(page)
    page.refresh()
    wait_until_connected(page)
    assert get_data(page, "plate") is None
    assert count_replies(page) == 0
    start_with_plate(page, scene[1])
    wait_for_replies(page)


def test_two_tabs_are_independent(page: Any, scene: Any, tmp_path: Path) -> None:
    """Each tab has its own clean plate and frame, and both get replies."""
    start_with_plate(page, scene[1])
    wait_for_replies(page)
    first = page.current_window_handle
    address = page.current_url
    page.switch_to.new_window("tab")
    try:
        page.get(address)
        wait_until_connected(page)
        other = 255 - scene[0][5]
        for name, pixels in (("frame", other), ("plate", 255 - scene[1])):
            Image.fromarray(pixels).save(tmp_path / f"{name}.png")
            find(page, f"#{name}-file").send_keys(str(tmp_path / f"{name}.png"))
        until(page, lambda page: count_replies(page) >= 1)
        assert is_shown(page, other)
    finally:
        page.close()
        page.switch_to.window(first)
    wait_for_replies(page)
    assert not is_shown(page, other)


def test_the_page_reconnects_to_a_restarted_server(
    browser: Any, converted: Path, scene: Any
) -> None:
    """The page reports the lost connection; then it sends its clean plate again and continues."""
    with server(converted) as first:
        browser.get(first)
        wait_until_connected(browser)
        start_with_plate(browser, scene[1])
        wait_for_replies(browser)
    until(browser, lambda page: get_data(page, "connection") == "closed")
    assert "No connection" in find(browser, "#status").text
    before = count_replies(browser)
    port = first.rstrip("/").rpartition(":")[2]
    with server(converted, "--port", port) as second:
        assert second == first
        wait_until_connected(browser)
        until(browser, lambda page: count_replies(page) > before + 1)
        browser.get("about:blank")


def test_a_narrow_screen(page: Any, scene: Any) -> None:
    """On the screen of a phone nothing is wider than the screen."""
    resize(page, 390, 844, mobile=True)
    start_with_plate(page, scene[1])
    wait_for_replies(page)
    width = page.execute_script("return document.documentElement.scrollWidth")
    assert width <= 390
    assert np.ptp(screenshot(page)) > 100


def test_the_composite_can_be_saved(page: Any, scene: Any, tmp_path: Path) -> None:
    """“Save PNG” downloads the composite with its alpha."""
    start_with_plate(page, scene[1])
    read_composite(page, scene[0][3])
    page.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    click(page, "#save")
    target = tmp_path / "matte.png"
    deadline = time.monotonic() + PATIENCE
    while not target.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    with Image.open(target) as saved:
        assert (saved.size, saved.mode) == (SIZE, "RGBA")


def test_a_denied_camera_is_reported(address: str, tmp_path: Path, scene: Any) -> None:
    """The page shows how to allow the camera, and files still work."""
    blocked = {"profile.default_content_setting_values.media_stream_camera": 2}
    with chromium(tmp_path / "profile", CAMERA, blocked) as page:
        page.get(address)
        wait_until_connected(page)
        click(page, "#camera")
        until(page, lambda page: get_data(page, "source") == "none")
        assert "Camera access was denied" in find(page, "#message").text
        for name, pixels in (("frame", scene[0][5]), ("plate", scene[1])):
            Image.fromarray(pixels).save(tmp_path / f"{name}.png")
            find(page, f"#{name}-file").send_keys(str(tmp_path / f"{name}.png"))
        until(page, lambda page: count_replies(page) >= 1)
