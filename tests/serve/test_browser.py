"""The page in headless Chromium: type and watch, fork and compare, draw, with and without a token.

Screenshots go into test-output/ of the working folder.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright", reason="the package playwright is not installed")

import torch
from playwright.sync_api import expect, sync_playwright
from serving import app, judge, listening

from helpers import make_student, make_teacher
from nounroll.core.batch import Categorical
from nounroll.data.csv_series import Series
from nounroll.data.images import PixelImages
from nounroll.serve.app import create_app
from nounroll.serve.judge import Judge

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OUTPUT = Path("test-output")
SECONDS = 60  # for anything to happen in the browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as tools:
        chromium = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=SECONDS * 1000)
        yield chromium
        chromium.close()


@pytest.fixture
def view(browser: Any) -> Iterator[Any]:
    """A page that may load nothing from elsewhere, and whose script makes no mistake."""
    context = browser.new_context(viewport={"width": 1180, "height": 900})
    context.set_default_timeout(SECONDS * 1000)
    page, faults, asked = context.new_page(), [], []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert faults == []
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:"))] == []


def settled(page: Any) -> None:
    page.wait_for_selector("body:not([aria-busy])")


def opened(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#work", state="visible")
    settled(page)


def press(page: Any, *buttons: str) -> None:
    for button in buttons:
        page.click(f"#{button}")
        settled(page)


def text(page: Any, panel: int = 0) -> str:
    return page.locator(".panel").nth(panel).locator(".text").inner_text()


def shown(page: Any, selector: str) -> list[str]:
    """In each panel."""
    return [one.inner_text() for one in page.locator(selector).all()]


def shot(page: Any, name: str) -> None:
    OUTPUT.mkdir(exist_ok=True)
    page.screenshot(path=OUTPUT / f"{name}.png", full_page=True)


def pixels_of(page: Any, selector: str) -> list[int]:
    """Of a canvas: red, green, blue and opacity of each."""
    return page.locator(selector).first.evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )


def test_type_and_watch_then_fork_and_compare(view: Any) -> None:
    with listening(app(judge=judge(length=64))) as address:
        opened(view, address)
        assert "2 × 8 numbers, 64 B" in view.inner_text("#summary")
        shot(view, "empty")
        empty = pixels_of(view, ".memory")
        assert len(empty) == 2 * 8 * 4
        view.fill("#prompt", "It was")
        press(view, "read")
        assert (text(view), shown(view, ".read")) == ("It was", ["6"])
        assert len(view.locator(".typed").all()) == 6
        assert len(view.locator(".next b").all()) == 5
        shot(view, "read")
        view.fill("#count", "20")
        press(view, "write")
        assert text(view).startswith("It was")
        assert len(text(view)) > 12
        assert shown(view, ".read") == ["26"]
        assert pixels_of(view, ".memory") != empty
        assert pixels_of(view, ".label") != pixels_of(view, ".memory") != pixels_of(view, ".difference")
        assert float(view.inner_text(".drift")) > 0
        assert view.locator(".curve").is_visible()
        assert float(view.inner_text(".speed").replace(",", "")) > 0
        assert float(view.inner_text(".step").removesuffix(" ms")) > 0
        shot(view, "write")

        press(view, "fork")
        assert text(view, 0) == text(view, 1)
        assert "0.000 apart" in view.inner_text("#apart")
        press(view, "write")
        assert text(view, 0) != text(view, 1)
        assert shown(view, ".read") == ["46", "46"]
        assert "0.000 apart" not in view.inner_text("#apart")
        shot(view, "fork")
        view.emulate_media(color_scheme="dark")
        shot(view, "fork-dark")

        press(view, "write")
        assert "trained on 64 steps" in view.locator(".absent").first.inner_text()
        view.set_viewport_size({"width": 390, "height": 844})
        assert view.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a narrow screen scrolls sideways"
        shot(view, "narrow")
        press(view, "reset")
        assert shown(view, ".read") == ["0"]


def test_a_pasted_series_is_forecast_as_a_fan(view: Any, tmp_path: Path) -> None:
    (tmp_path / "waves.csv").write_text("height,day\n" + "".join(f"{i % 9},{i % 7}\n" for i in range(100)))
    task = Series(path=tmp_path / "waves.csv")
    student = make_student("gru", task.inputs, task.targets, dtype=torch.float32).eval()
    with listening(create_app(student, task, "waves")) as address:
        opened(view, address)
        assert view.inner_text("#series-label") == "Series: height, day"
        assert view.locator(".fan").count() == 0
        view.fill("#series", "\n".join(f"{i % 9}, {i % 7}" for i in range(40)))
        view.fill("#steps", "8")
        press(view, "foresee")
        assert not view.is_visible("#error")
        assert view.locator(".fan").count() == 2
        opacity = pixels_of(view, ".fan")[3::4]
        assert 0.02 < sum(0 < one < 255 for one in opacity) / len(opacity) < 0.9, "there are no bands"
        label = view.locator(".fan").first.get_attribute("aria-label")
        assert label.startswith("Median of height: ")
        assert label.count(",") == 7
        shot(view, "forecast")
        view.fill("#series", "one")
        press(view, "foresee")
        assert "this task reads numbers between spaces" in view.inner_text("#error")
    with listening(app()) as address:
        opened(view, address)
        assert not view.is_visible("#forecast")


def test_forks_with_one_seed_go_on_alike(view: Any) -> None:
    with listening(app()) as address:
        opened(view, address)
        view.fill("#prompt", "It was")
        view.fill("#count", "30")
        press(view, "read", "fork")
        view.locator(".seed input").nth(1).fill("1")
        press(view, "write")
        assert text(view, 0) == text(view, 1) != "It was"
        assert "same 30 tokens" in view.inner_text("#apart")
        assert "0.000 apart" in view.inner_text("#apart")


def test_stop_leaves_a_session_that_goes_on(view: Any) -> None:
    with listening(app()) as address:
        opened(view, address)
        view.fill("#count", "1000000")
        view.click("#write")
        expect(view.locator(".read")).to_have_text(re.compile(r"^\d\d"))  # it is at work
        press(view, "stop")
        read = int(view.inner_text(".read").replace(",", ""))
        assert 10 <= read < 1_000_000
        view.fill("#count", "5")
        press(view, "write")
        assert int(view.inner_text(".read").replace(",", "")) == read + 5


def test_draw_an_image_line_by_line(view: Any) -> None:
    images = np.random.default_rng(0).integers(0, 17, (20, 8, 8), dtype=np.uint8)
    task = PixelImages(images=images, held_out=np.arange(4), levels=17, name="noise")
    student = make_student("gru", Categorical(18), Categorical(17), dtype=torch.float32)
    line = 4 * 8
    with listening(create_app(student, task, "digits")) as address:
        opened(view, address)
        assert view.inner_text("#write") == "Draw"
        blank = pixels_of(view, ".image")
        # what is seen of the image whenever it changes
        view.evaluate(
            "() => { const image = document.querySelector('.image'); window.seen = []; "
            "new MutationObserver(() => window.seen.push([...image.getContext('2d').getImageData(0, 0, 8, 8).data]))"
            ".observe(document.querySelector('.read'), { childList: true }); }"
        )
        press(view, "write")
        whole = pixels_of(view, ".image")
        parts = [part for part in view.evaluate("window.seen") if part != blank]
        for lines, part in enumerate(parts, start=1):
            assert part == whole[: lines * line] + blank[lines * line :]
        assert len(parts) == 8
        assert view.inner_text(".read") == "65"
        assert view.inner_text(".drift") == "–"
        assert "keeps no teacher" in view.inner_text(".absent")
        shot(view, "draw")

        view.fill("#count", "24")
        press(view, "write", "fork")  # a part of a new image, and what it can become
        view.fill("#count", "64")
        press(view, "write")
        assert shown(view, ".read") == ["65", "65"]
        one, other = (view.locator(".image").nth(i).evaluate("c => c.toDataURL()") for i in (0, 1))
        assert one != other
        shot(view, "draw-fork")


def test_a_whole_image_is_seen_beside_its_teacher(view: Any) -> None:
    """With the start, it is one longer than what the teacher was trained on."""
    images = np.random.default_rng(0).integers(0, 17, (20, 8, 8), dtype=np.uint8)
    task = PixelImages(images=images, held_out=np.arange(4), levels=17, name="noise")
    student = make_student("gru", Categorical(18), Categorical(17), dtype=torch.float32).eval()
    own = Judge.of(make_teacher(student, dtype=torch.float32).eval(), student, task, 64)
    with listening(create_app(student, task, "digits", judge=own)) as address:
        opened(view, address)
        press(view, "write")
        assert view.inner_text(".read") == "65"
        assert float(view.inner_text(".drift")) > 0
        assert view.locator(".label").is_visible()


def test_a_token_and_an_error_in_one_line(view: Any) -> None:
    with listening(app(token="secret")) as address:
        view.goto(address)
        view.wait_for_selector("#entry", state="visible")
        shot(view, "token")
        view.fill("#token", "wrong")
        view.press("#token", "Enter")
        view.wait_for_selector("#error", state="visible")
        assert "no valid token" in view.inner_text("#error")
        view.fill("#token", "secret")
        view.press("#token", "Enter")
        view.wait_for_selector("#work", state="visible")
        settled(view)
        view.fill("#temperature", "-1")
        view.evaluate("document.getElementById('controls').noValidate = true")
        press(view, "write")
        assert "temperature" in view.inner_text("#error")
        shot(view, "error")
        view.goto("about:blank")
        opened(view, f"{address}/#token=secret")
        assert "secret" not in view.url


def test_a_server_that_is_gone_and_comes_back(view: Any, tmp_path: Path) -> None:
    """The page goes on with its session when the server kept it, and says so when it did not."""
    with listening(app(folder=tmp_path / "sessions")) as address:
        opened(view, address)
        view.fill("#prompt", "It was")
        press(view, "read")
    view.fill("#prompt", " a")
    press(view, "read")
    assert "does not answer" in view.inner_text("#error")
    port = int(address.rsplit(":", 1)[1])
    with listening(app(folder=tmp_path / "sessions"), port=port):
        press(view, "read")
        assert view.locator("#error").is_hidden()
        assert (text(view), view.inner_text(".read")) == ("It was a", "8")
    with listening(app(), port=port):
        press(view, "write")
        assert "New session" in view.inner_text("#error")
        press(view, "reset")
        assert view.inner_text(".read") == "0"
