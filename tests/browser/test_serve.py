"""The page of `matting serve` in a real browser, with a camera that plays a clip."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.browser import PATIENCE, chromium, decoded, resize, screenshot
from tests.support.clips import SIZE, walk, write_camera
from tests.support.serving import server

RATE, EMPTY, FULL = 10, 60, 60  # frames a second; of the empty room, and with somebody in it
CAMERA = ("--use-fake-device-for-media-stream",)
ALLOWED = "--use-fake-ui-for-media-stream"


@pytest.fixture(scope="module")
def scene() -> tuple[list[np.ndarray], np.ndarray]:
    return walk(8)


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
    assert browser  # no server where nobody can look at it
    with server(converted) as told:
        yield told


@pytest.fixture
def page(browser: Any, address: str) -> Any:
    """Freshly opened, connected, on a desktop."""
    resize(browser, 1280, 900)
    browser.get_log("browser")
    browser.get(address)
    connected(browser)
    return browser


def until(page: Any, holds: Callable[[Any], Any]) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(page, PATIENCE, poll_frequency=0.05).until(holds)


def data(page: Any, name: str) -> str | None:
    found: str | None = page.execute_script(
        "return document.documentElement.dataset[arguments[0]] ?? null", name
    )
    return found


def connected(page: Any) -> None:
    until(page, lambda page: data(page, "link") == "open" and data(page, "model"))


def one(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def click(page: Any, selector: str) -> None:
    element = one(page, selector)
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def canvas(page: Any, name: str, mode: str = "RGBA") -> np.ndarray:
    address = page.execute_script(
        "return document.getElementById(arguments[0]).toDataURL('image/png')", name
    )
    return decoded(address, mode)


def answers(page: Any) -> int:
    return int(data(page, "answers") or 0)


def more_answers(page: Any, count: int = 2) -> None:
    before = answers(page)
    until(page, lambda page: answers(page) >= before + count)


def shows(page: Any, picture: np.ndarray) -> bool:
    """Whether the frame on the page is that picture, as well as a camera and a JPEG can give it."""
    seen = canvas(page, "frame", "RGB")
    return seen.shape == picture.shape and np.abs(seen.astype(int) - picture).mean() < 8


def start_with_plate(page: Any, plate: np.ndarray) -> None:
    """What a person does: start the camera, step out, capture."""
    click(page, "#camera")
    until(page, lambda page: data(page, "source") == "camera")
    page.execute_script("document.getElementById('delay').value = '0'")
    until(page, lambda page: not shows(page, plate))
    until(page, lambda page: shows(page, plate))
    click(page, "#capture")
    until(page, lambda page: data(page, "plate"))


def matte_of(page: Any, frame: np.ndarray) -> np.ndarray:
    """The composite's RGBA once somebody is in the frame."""
    until(page, lambda page: shows(page, frame))
    more_answers(page)
    return canvas(page, "composite")


def test_the_composite_changes_with_who_is_in_the_frame(page: Any, scene: Any) -> None:
    """Camera, plate, person: frame, alpha and composite follow, and the figures move."""
    frames, plate = scene
    start_with_plate(page, plate)
    more_answers(page)
    until(page, lambda page: shows(page, plate))
    more_answers(page)
    empty = canvas(page, "alpha", "L").astype(int)
    until(page, lambda page: shows(page, frames[3]))
    more_answers(page)
    full = canvas(page, "alpha", "L").astype(int)
    assert empty.shape == full.shape == SIZE[::-1]
    changed = np.abs(frames[3].astype(int) - plate).mean(2) > 40
    assert np.abs(full - empty)[changed].mean() > 20 + np.abs(full - empty)[~changed].mean()
    assert float(one(page, "#rate").text) > 0
    assert one(page, "#latency").text.endswith(" ms")
    assert [line for line in page.get_log("browser") if line["level"] == "SEVERE"] == []


def test_every_background_is_behind(page: Any, scene: Any, tmp_path: Path) -> None:
    """The composite is foreground and alpha over what was chosen, pixel by pixel."""
    frames, plate = scene
    start_with_plate(page, plate)
    clear = matte_of(page, frames[3])
    assert clear[..., 3].min() < 128
    page.execute_script("socket.close = () => {}; socket.onmessage = () => {}")  # hold the frame
    clear = canvas(page, "composite").astype(float)
    cover = clear[..., 3:] / 255
    page.execute_script(
        """const input = document.getElementById('colour');
        input.value = '#2040c0';
        input.dispatchEvent(new Event('input'));"""
    )
    blue = canvas(page, "composite")
    expected = clear[..., :3] * cover + np.array([32, 64, 192]) * (1 - cover)
    assert (blue[..., 3] == 255).all()
    assert np.abs(blue[..., :3] - expected).max() < 6
    drawn = np.full((192, 320, 3), (200, 30, 90), np.uint8)
    Image.fromarray(drawn).save(tmp_path / "behind.png")
    one(page, "#picture").send_keys(str(tmp_path / "behind.png"))
    until(page, lambda page: data(page, "background") == "picture")
    picture = canvas(page, "composite")
    expected = clear[..., :3] * cover + np.array([200, 30, 90]) * (1 - cover)
    assert np.abs(picture[..., :3] - expected).max() < 6
    click(page, "input[value=blur]")
    until(page, lambda page: data(page, "background") == "blur")
    blurred = canvas(page, "composite", "RGB").astype(int)
    away = np.abs(blurred - plate).mean(2)[cover[..., 0] < 0.02]
    assert 0.5 < away.mean() < 60


def test_two_files_instead_of_a_camera(page: Any, scene: Any, tmp_path: Path) -> None:
    """A frame and a plate from disk give a matte; a plate of another shape is said."""
    for name, pixels in (("frame", scene[0][5]), ("plate", scene[1]), ("odd", scene[1][:, :100])):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    one(page, "#plate-file").send_keys(str(tmp_path / "plate.png"))
    one(page, "#frame-file").send_keys(str(tmp_path / "frame.png"))
    until(page, lambda page: answers(page) >= 1)
    assert shows(page, scene[0][5])
    alone = canvas(page, "alpha", "L")
    assert np.ptp(alone) > 100
    one(page, "#plate-file").send_keys(str(tmp_path / "odd.png"))
    until(page, lambda page: "take both with the same camera" in one(page, "#message").text)


def test_another_precision_can_be_chosen(page: Any, scene: Any) -> None:
    """The choice goes to the server, which tells what it computes in; answers go on."""
    from selenium.webdriver.support.ui import Select

    start_with_plate(page, scene[1])
    more_answers(page)
    Select(one(page, "#model")).select_by_value("small-matting FP32")
    Select(one(page, "#hint")).select_by_value("f32")
    until(page, lambda page: data(page, "model") == "small-matting FP32 f32")
    assert "320x192, computes in f32" in one(page, "#about").text
    more_answers(page, 3)


def test_a_reload_begins_anew(page: Any, scene: Any) -> None:
    """After a reload the page connects again, knows no plate, and works as before."""
    start_with_plate(page, scene[1])
    more_answers(page)
    page.refresh()
    connected(page)
    assert data(page, "plate") is None
    assert answers(page) == 0
    start_with_plate(page, scene[1])
    more_answers(page)


def test_two_tabs_keep_apart(page: Any, scene: Any, tmp_path: Path) -> None:
    """Each tab has its own plate and frame, and both are answered."""
    start_with_plate(page, scene[1])
    more_answers(page)
    first = page.current_window_handle
    address = page.current_url
    page.switch_to.new_window("tab")
    try:
        page.get(address)
        connected(page)
        other = 255 - scene[0][5]
        for name, pixels in (("frame", other), ("plate", 255 - scene[1])):
            Image.fromarray(pixels).save(tmp_path / f"{name}.png")
            one(page, f"#{name}-file").send_keys(str(tmp_path / f"{name}.png"))
        until(page, lambda page: answers(page) >= 1)
        assert shows(page, other)
    finally:
        page.close()
        page.switch_to.window(first)
    more_answers(page)
    assert not shows(page, other)


def test_the_page_outlives_the_server(browser: Any, converted: Path, scene: Any) -> None:
    """Stopped, the page says so; started again, it sends its plate once more and goes on."""
    with server(converted) as told:
        browser.get(told)
        connected(browser)
        start_with_plate(browser, scene[1])
        more_answers(browser)
    until(browser, lambda page: data(page, "link") == "closed")
    assert "No connection" in one(browser, "#link").text
    before = answers(browser)
    port = told.rstrip("/").rpartition(":")[2]
    with server(converted, "--port", port) as again:
        assert again == told
        connected(browser)
        until(browser, lambda page: answers(page) > before + 1)
        browser.get("about:blank")


def test_a_phone_sees_it_too(page: Any, scene: Any) -> None:
    """On a narrow screen nothing is wider than the screen."""
    resize(page, 390, 844, mobile=True)
    start_with_plate(page, scene[1])
    more_answers(page)
    width = page.execute_script("return document.documentElement.scrollWidth")
    assert width <= 390
    assert np.ptp(screenshot(page)) > 100


def test_the_picture_can_be_saved(page: Any, scene: Any, tmp_path: Path) -> None:
    """“Save PNG” downloads the composite as it is seen, alpha and all."""
    start_with_plate(page, scene[1])
    matte_of(page, scene[0][3])
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


def test_a_refused_camera_is_said(address: str, tmp_path: Path, scene: Any) -> None:
    """Where the camera is not allowed the page says what to do, and files still work."""
    blocked = {"profile.default_content_setting_values.media_stream_camera": 2}
    with chromium(tmp_path / "profile", CAMERA, blocked) as page:
        page.get(address)
        connected(page)
        click(page, "#camera")
        until(page, lambda page: data(page, "source") == "none")
        assert "The camera was refused" in one(page, "#message").text
        for name, pixels in (("frame", scene[0][5]), ("plate", scene[1])):
            Image.fromarray(pixels).save(tmp_path / f"{name}.png")
            one(page, f"#{name}-file").send_keys(str(tmp_path / f"{name}.png"))
        until(page, lambda page: answers(page) >= 1)
