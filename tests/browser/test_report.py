"""The report in a real browser: its controls are used, and the pixels looked at."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.browser import PATIENCE, chromium, decoded, resize, screenshot
from tests.support.records import evaluation, failed, latency
from toolchain.stages.report.report import report
from toolchain.stages.report.request import ReportRequest

NAME = "small-matting"
WHITE, BLUE = (255, 255, 255), (16, 32, 240)
READY = "return document.documentElement.dataset.ready"


def request_of(folder: Path, target: Path, **changes: Any) -> ReportRequest:
    settings: dict[str, Any] = {
        "checkpoint": folder / "pytorch_mobilenetv2.pth",
        "onnx": folder / f"{NAME}.onnx",
        "irs": tuple((form, folder / form / f"{NAME}.xml") for form in ("FP32", "FP16")),
        "validation": folder / "validation.json",
        "html": target / "report.html",
        "markdown": target / "report.md",
        "composites": 2,
        "seed": 2029,  # a frame with a person
    }
    return ReportRequest(**{**settings, **changes})


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def file(browser: Any, validated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert browser  # skipped without a browser
    return report(request_of(validated, tmp_path_factory.mktemp("report"))).html


@pytest.fixture
def page(browser: Any, file: Path) -> Any:
    """The report of a passing build, freshly opened on a desktop."""
    return opened(browser, file)


def opened(browser: Any, file: Path) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    resize(browser, 1280, 900)
    browser.get_log("browser")  # what earlier tests left there
    browser.get(file.as_uri())
    WebDriverWait(browser, PATIENCE).until(lambda page: page.execute_script(READY))
    return browser


def one(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def choose(page: Any, name: str, value: str) -> None:
    """Click what a person clicks: the label around the radio button."""
    radio = one(page, f"input[name='{name}'][value='{value}']")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", radio)
    radio.click()


def pixels(page: Any, selector: str) -> np.ndarray:
    """H x W x 3 of a canvas."""
    address = page.execute_script(
        "return document.querySelector(arguments[0]).toDataURL('image/png')", selector
    )
    return decoded(address, "RGB")


def picture(page: Any, key: str, mode: str, frame: int = 0) -> np.ndarray:
    """The pixels of one of the report's embedded pictures."""
    selector = f"[data-frame='{frame}'] [data-image='{key}']"
    return decoded(one(page, selector).get_attribute("src"), mode)


def test_it_opens_in_silence_and_fetches_nothing(page: Any) -> None:
    """No error or warning in the console, and no address but of pictures inside."""
    assert page.get_log("browser") == []
    assert one(page, "main").text.split()[0] == "PASS"
    addresses = page.execute_script(
        "return [...performance.getEntriesByType('resource')].map((entry) => entry.name)"
    )
    assert [address for address in addresses if not address.startswith("data:")] == []


def test_its_policy_stops_scripts_and_pictures_from_elsewhere(page: Any) -> None:
    """Injected scripts, styles and images are blocked by the policy."""
    said = page.execute_async_script(
        """const done = arguments[0], blocked = [];
        addEventListener('securitypolicyviolation', (event) => {
          blocked.push(event.effectiveDirective);
          if (blocked.length === 3) done([blocked.sort(), window.hacked ?? 'no']);
        });
        const script = document.createElement('script');
        script.textContent = 'window.hacked = "yes"';
        const image = new Image();
        image.src = 'http://127.0.0.1:9/picture.png';
        const style = document.createElement('style');
        style.textContent = 'body { display: none }';
        document.body.append(script, image, style);"""
    )
    assert said == [["img-src", "script-src-elem", "style-src-elem"], "no"]


def test_the_slider_shows_one_matte_on_each_side(page: Any) -> None:
    """The pixels left of the divider are those of the left matte, the others those of the right."""
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    frame = one(page, "[data-frame='0']")
    for side, key in (("left", "truth"), ("right", "original")):
        Select(frame.find_element("css selector", f"[data-side='{side}']")).select_by_value(key)
    canvas = "[data-frame='0'] canvas.slider"
    left, right = (picture(page, f"alpha-{key}", "L") for key in ("truth", "original"))
    assert np.abs(left.astype(int) - right).mean() > 10  # the two mattes differ
    divider = one(page, "[data-frame='0'] .divider input")
    width = left.shape[1]
    for keys, share in ((Keys.HOME, 0.0), (Keys.END, 1.0)):
        divider.send_keys(keys)
        shown = pixels(page, canvas)[..., 0]
        expected = left if share else right
        assert np.array_equal(shown[:, 4:-4], expected[:, 4:-4])
    page.execute_script(
        "arguments[0].value = 250; arguments[0].dispatchEvent(new Event('input'))", divider
    )
    shown, at = pixels(page, canvas)[..., 0], width // 4
    assert np.array_equal(shown[:, : at - 3], left[:, : at - 3])
    assert np.array_equal(shown[:, at + 4 :], right[:, at + 4 :])
    assert divider.get_attribute("aria-valuetext") == "25 % Ground truth, 75 % Original"


def test_the_divider_is_dragged_on_the_picture(page: Any) -> None:
    """Pressing at three quarters of the picture puts the divider there."""
    from selenium.webdriver import ActionChains

    canvas = one(page, "[data-frame='0'] canvas.slider")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    quarter = int(canvas.rect["width"] / 4)
    ActionChains(page).move_to_element_with_offset(canvas, quarter, 0).click().perform()
    value = int(one(page, "[data-frame='0'] .divider input").get_property("value"))
    assert abs(value - 750) < 10


def test_the_largest_difference_is_gone_to(page: Any) -> None:
    """The button zooms in on the pixel where the two mattes differ most."""
    choose(page, "run", "fp16-default")
    one(page, "[data-frame='0'] [data-worst]").click()
    assert one(page, "[data-frame='0'] [data-zoom]").get_property("value") == "8"
    original = picture(page, "alpha-original", "L")
    other = picture(page, "alpha-fp16-default", "L")
    data = json.loads(one(page, "#data").get_attribute("textContent"))
    x, y = data["worst"][0]["fp16-default"]
    height, width = original.shape
    difference = np.abs(original.astype(int) - other)
    assert difference[int(y * height), int(x * width)] >= difference.max() - 1
    shown = pixels(page, "[data-frame='0'] canvas.slider")[..., 0]
    top = min(max(int(y * height - height / 16), 0), height - height // 8)
    window = original[top : top + height // 8]
    assert set(np.unique(shown[:, : width // 2 - 4])) <= set(np.unique(window))


@pytest.mark.parametrize("run", ["onnx-f32", "fp32-default"])
def test_the_precision_switch_changes_every_picture(page: Any, run: str) -> None:
    """Heat, patches, composite, the slider's right side and the marked matte are that run's."""
    choose(page, "run", run)
    for frame in page.find_elements("css selector", "[data-frame]"):
        shown = {
            element.get_attribute("data-run")
            for element in frame.find_elements("css selector", "[data-run]:not(.cutout)")
            if element.is_displayed()
        }
        assert shown == {run}
        marked = frame.find_elements("css selector", "[aria-current]")
        assert [item.get_attribute("data-variant") for item in marked] == [run]
        side = frame.find_element("css selector", "[data-side='right']")
        assert side.get_property("value") == run
    data = json.loads(one(page, "#data").get_attribute("textContent"))
    assert one(page, "#status").get_attribute("textContent") == f"Shown: {data['labels'][run]}"
    assert_composite(page, run, (0, 177, 64))


def assert_composite(page: Any, run: str, colour: tuple[int, int, int]) -> None:
    """The canvas holds alpha * foreground + (1 - alpha) * colour, up to the browser's rounding."""
    cutout = picture(page, f"cutout-{run}", "RGBA").astype(float)
    alpha = cutout[..., 3:] / 255
    expected = alpha * cutout[..., :3] + (1 - alpha) * np.array(colour, float)
    shown = pixels(page, "[data-frame='0'] canvas.composite")
    error = np.abs(shown - expected)
    assert error.mean() < 1
    assert np.percentile(error, 99) <= 6


def test_the_background_is_chosen(page: Any) -> None:
    """A swatch or any colour changes the background of the same cutout."""
    data = json.loads(one(page, "#data").get_attribute("textContent"))
    run = data["chosen"]
    swatch = one(page, ".backdrop button[data-colour='#ffffff']")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", swatch)
    swatch.click()
    assert swatch.get_attribute("aria-pressed") == "true"
    assert_composite(page, run, WHITE)
    page.execute_script(
        "const input = document.getElementById('colour'); input.value = '#1020f0';"
        "input.dispatchEvent(new Event('input'))"
    )
    assert_composite(page, run, BLUE)
    one(page, ".backdrop button[data-colour='checks']").click()
    alpha = picture(page, f"cutout-{run}", "RGBA")[..., 3]
    behind = pixels(page, "[data-frame='0'] canvas.composite")[alpha == 0]
    assert {tuple(tone) for tone in np.unique(behind, axis=0)} == {WHITE, (185, 191, 197)}
    choose(page, "show-0", "composite")
    slider = pixels(page, "[data-frame='0'] canvas.slider")
    composite = pixels(page, "[data-frame='0'] canvas.composite")
    half = slider.shape[1] // 2 + 4
    assert np.abs(slider[:, half:].astype(int) - composite[:, half:]).max() <= 1


def test_light_and_dark_by_switch_and_by_preference(page: Any) -> None:
    """The switch wins over what the system prefers; "Auto" follows the system."""
    seen = {}
    for prefers in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": prefers}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        for theme in ("auto", "light", "dark"):
            choose(page, "theme", theme)
            seen[prefers, theme] = float(screenshot(page)[-40:, :20].mean())
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    dark = {key for key, tone in seen.items() if tone < 40}
    light = {key for key, tone in seen.items() if tone > 215}
    assert dark == {("light", "dark"), ("dark", "auto"), ("dark", "dark")}
    assert len(dark) + len(light) == len(seen)


def test_it_fits_a_phone(page: Any) -> None:
    """390 pixels wide nothing sticks out, and the verdict is in the first window."""
    resize(page, 390, 844, mobile=True)
    page.refresh()
    wide = page.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide[0] <= wide[1] <= 390
    assert one(page, "#verdict-word").rect["y"] < 400
    assert screenshot(page).std() > 10


def test_the_keyboard_reaches_and_works_every_control(page: Any) -> None:
    """Tab goes to the skip link first; arrows change the precision, move and zoom the picture."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    ActionChains(page).send_keys(Keys.TAB).perform()
    assert page.switch_to.active_element.text == "Skip to the verdict"
    reached = set()
    for _ in range(80):
        ActionChains(page).send_keys(Keys.TAB).perform()
        active = page.switch_to.active_element
        reached.add((active.tag_name, active.get_attribute("type") or ""))
    assert {
        ("a", ""),
        ("input", "radio"),
        ("button", "button"),
        ("input", "color"),
        ("select", "select-one"),
        ("canvas", ""),
        ("input", "range"),
        ("div", ""),  # a table that scrolls
    } <= reached
    chosen = one(page, "input[name=run]:checked")
    before = chosen.get_attribute("value")
    chosen.send_keys(Keys.ARROW_LEFT)
    after = one(page, "input[name=run]:checked").get_attribute("value")
    assert after != before
    assert one(page, "[data-side='right']").get_property("value") == after
    canvas = one(page, "[data-frame='0'] canvas.slider")
    canvas.send_keys("+", "+")
    assert one(page, "[data-zoom]").get_property("value") == "4"
    shown = pixels(page, "canvas.slider")
    canvas.send_keys(Keys.ARROW_UP, Keys.ARROW_UP)
    assert not np.array_equal(shown, pixels(page, "canvas.slider"))
    canvas.send_keys("-", "-", Keys.ARROW_LEFT)
    assert int(one(page, ".divider input").get_property("value")) < 500


def test_everything_has_a_name(page: Any) -> None:
    """Pictures have alternative texts, canvases and controls accessible names, headings order."""
    unnamed = page.execute_script(
        """return [...document.querySelectorAll('img:not([hidden])')]
        .filter((image) => !image.alt).map((image) => image.outerHTML.slice(0, 60))"""
    )
    assert unnamed == []
    for selector in ("canvas", "select", "input", "button", "svg[role=img]", "[role=region]"):
        for element in page.find_elements("css selector", f"main {selector}"):
            if element.is_displayed():
                assert element.accessible_name.strip(), element.get_attribute("outerHTML")[:80]
    levels = page.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_without_scripts_every_image_is_visible(browser: Any, file: Path) -> None:
    """All runs are listed, and no control without effect is shown."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(file.as_uri())
        shown = browser.find_elements("css selector", "[data-frame='0'] [data-run]")
        assert len(shown) == 4 * 5
        assert all(element.is_displayed() for element in shown)
        controls = browser.find_elements("css selector", "main :is(input, select, button)")
        assert not any(control.is_displayed() for control in controls)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_fail_is_shown_first_with_its_explanation(
    browser: Any, validated: Path, tmp_path: Path
) -> None:
    """FAIL first, then what failed and why; the run that failed is the one shown."""
    folder = tmp_path / "failed"
    shutil.copytree(validated, folder)
    verdict = json.loads((folder / "validation.json").read_text())
    records = {
        "validation.json": failed(verdict),
        "evaluation.json": evaluation(verdict),
        "latency.json": latency(),
    }
    for name, record in records.items():
        (folder / name).write_text(json.dumps(record))
    result = report(
        request_of(
            folder,
            tmp_path,
            composites=1,
            evaluation=folder / "evaluation.json",
            latency=folder / "latency.json",
        )
    )
    assert result.verdict == "fail"
    page = opened(browser, result.html)
    assert page.get_log("browser") == []
    text = one(page, "main").text
    assert text.split()[0] == "FAIL"
    assert page.title.startswith("FAIL")
    said = [text.index(word) for word in ("What failed", "swapped channels", "Model and weights")]
    assert said == sorted(said)
    assert "<script>alert(1)</script>" in text  # shown, not run
    assert one(page, "input[name=run]:checked").get_attribute("value") == "fp32-f32"
    red = screenshot(page)[:400].reshape(-1, 3).astype(int)
    assert ((red[:, 0] > 150) & (red[:, 1] < 80) & (red[:, 2] < 80)).any()
    for table in ("Stage by stage", "Latency", "Limits", "Accuracy"):
        assert one(page, f"[aria-label='{table}'] tbody tr").is_displayed()
    assert re.search(r"NaN or infinite", text)
    assert "84.2" in one(page, "[aria-label='Latency']").text
