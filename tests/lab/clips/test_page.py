"""The labelling page in Debian's headless Chromium: every key is pressed. What it looked like is kept in out/."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from edge_fer.lab.clips.site import LabellingServer
from tests.lab.clips.pages import page, write_clips
from tests.lab.clips.recordings import HEIGHT, WIDTH
from tests.support import ROOT
from tests.support.chromium import Browser

pytestmark = pytest.mark.slow

OUT = ROOT / "out"
CODES = {"ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35, "PageDown": 34, "Escape": 27, "Enter": 13}
NUMBER_IN_CANVAS = f"""(() => {{ const sheet = document.querySelector("#frame"), pen = sheet.getContext("2d");
    if (sheet.width !== {WIDTH} || sheet.height !== {HEIGHT}) return null;
    let number = 0;
    for (let bit = 0; bit < 10; bit++) number += (pen.getImageData(bit * 12 + 6, 6, 1, 1).data[0] > 127) << bit;
    return number }})()"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        browser.resize(1280, 800)
        yield browser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_clips(tmp_path / "clips", ("p01_001_happiness", "p01_002", "p02_001"), count=30)


@pytest.fixture
def site(browser: Browser, folder: Path) -> Iterator[LabellingServer]:
    """The page, open at its first clip; it must not complain nor ask anybody else."""
    with page(folder) as server:
        browser.visit(server.url)
        is_at(browser, "p01_001_happiness", 0)
        yield server
        asked = [urlsplit(address) for address in browser.requests]
        assert {address.hostname for address in asked if address.scheme not in ("data", "blob")} == {"127.0.0.1"}
        assert [told for told in browser.complaints if "getImageData" not in told] == []  # that is this test's
        browser.call("Page.navigate", url="about:blank")  # else it asks for frames when the server has gone
        browser.until("location.href === 'about:blank'")


def press(browser: Browser, *keys: str) -> None:
    for key in keys:
        letter = len(key) == 1
        browser.press(key, CODES.get(key, ord(key.upper()[0])), key if letter else "\r" if key == "Enter" else "")


def is_at(browser: Browser, name: str, frame: int) -> None:
    """Wait until a frame of a clip is shown."""
    browser.until(f"document.querySelector('#name').textContent === {name!r} && "
                  f"document.querySelector('#frame').dataset.shown === '{frame}' && "
                  f"document.querySelector('#counter strong').textContent === '{frame}'")  # fmt: skip


def marks(browser: Browser) -> dict[str, Any]:
    """What the page shows as marked, once it has settled."""
    browser.evaluate("last")  # the keys that are under way
    return {
        "stamps": browser.evaluate("[...document.querySelectorAll('.mark span')].map(one => one.textContent)"),
        "flags": browser.evaluate("[...document.querySelectorAll('#flags li')].map(one => one.textContent)"),
        "says": browser.text("#says"),
    }


def test_every_key_does_what_the_paper_says(site: LabellingServer, browser: Browser, folder: Path) -> None:
    for key, frame in (("d", 1), ("D", 2), ("d", 3), ("a", 2), ("a", 1), ("A", 0), ("a", 0), ("ArrowRight", 1),
                       ("ArrowLeft", 0), ("End", 29), ("d", 29), ("Home", 0), ("PageDown", 10)):  # fmt: skip
        press(browser, key)
        is_at(browser, "p01_001_happiness", frame)
        assert browser.evaluate(NUMBER_IN_CANVAS) == frame  # it is the frame with that number, to the pixel
    assert "by its name" in browser.text("#labels")
    press(browser, "s")
    assert marks(browser)["stamps"] == ["start 10"]
    press(browser, "a", "s")
    assert "The end cannot be before the start, frame 10" in marks(browser)["says"]
    press(browser, "PageDown", "s")
    press(browser, "a", "a", "a", "a", "S")
    assert marks(browser)["stamps"] == ["start 10", "peak 15", "end 19"]
    press(browser, "s")
    assert "All three frames are marked" in marks(browser)["says"]
    press(browser, "z")
    assert marks(browser)["stamps"] == ["start 10", "end 19"]
    press(browser, "s", "w")
    assert marks(browser)["stamps"] == []
    press(browser, "z")
    assert marks(browser)["stamps"] == ["start 10", "peak 15", "end 19"]
    for key, name in (("g", "non-correlating expression"), ("t", "abnormal limb behaviour"), ("x", "other")):
        press(browser, key)
        assert marks(browser)["flags"] == [name]
        press(browser, key)
        assert marks(browser)["flags"] == []
    press(browser, "u")
    assert marks(browser)["flags"] == ["low face occlusion"]
    press(browser, "p")
    assert marks(browser)["flags"] == ["heavy face occlusion"]
    browser.screenshot(OUT / "label.png", whole=False)
    press(browser, "e")
    is_at(browser, "p01_002", 0)
    assert (folder / "p01_001_happiness.txt").read_bytes() == b"10\t19\t15\t0\t0\t0\t1\t0\n"
    assert json.loads((folder / "p01_001_happiness.json").read_text())["expected"] == "happiness"
    assert "1 of 3 clips saved" in browser.text("#done")


def test_the_expected_expression_is_chosen_by_number(site: LabellingServer, browser: Browser, folder: Path) -> None:
    press(browser, "q")
    browser.until("!document.querySelector('#rest').hidden")
    assert browser.text("#rest-title") == "3 clips are not labelled yet"
    browser.evaluate("document.querySelectorAll('nav button')[1].click()")
    is_at(browser, "p01_002", 0)
    press(browser, "s", "End", "s", "a", "s", "e")
    assert "Which expression should the clip show?" in marks(browser)["says"]
    for number in range(1, 8):
        press(browser, str(number))
        browser.evaluate("last")
        pressed = browser.evaluate("document.querySelector('#labels [aria-pressed=true]').dataset.label")
        assert pressed == ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")[number - 1]
    press(browser, "e")
    is_at(browser, "p02_001", 0)
    assert (folder / "p01_002.txt").read_bytes() == b"0\t29\t28\t0\t0\t0\t0\t0\n"


def test_q_asks_where_marks_would_be_lost(site: LabellingServer, browser: Browser, folder: Path) -> None:
    press(browser, "s")
    marks(browser)
    press(browser, "q")
    browser.until("document.querySelector('#ask').open")
    browser.screenshot(OUT / "label-ask.png", whole=False)
    press(browser, "Escape")
    browser.until("!document.querySelector('#ask').open")
    assert marks(browser)["stamps"] == ["start 0"]
    press(browser, "q")
    browser.until("document.querySelector('#ask').open")
    press(browser, "q")
    browser.until("!document.querySelector('#rest').hidden")
    assert list(folder.glob("*.txt")) == []
    press(browser, "Enter")
    is_at(browser, "p01_001_happiness", 0)
    assert marks(browser)["stamps"] == []


def test_the_timeline_seeks_and_space_plays(site: LabellingServer, browser: Browser) -> None:
    box = browser.evaluate("(() => { const b = document.querySelector('#strip').getBoundingClientRect();"
                           "return [b.left, b.top, b.width, b.height] })()")  # fmt: skip
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=box[0] + box[2] * 0.51, y=box[1] + box[3] / 2,
                     button="left", buttons=1, clickCount=1)  # fmt: skip
    is_at(browser, "p01_001_happiness", 15)
    press(browser, " ")
    is_at(browser, "p01_001_happiness", 29)
    assert browser.text('[data-key=" "] span') == "play"


def test_when_all_is_labelled_it_says_so(site: LabellingServer, browser: Browser) -> None:
    for name in ("p01_001_happiness", "p01_002", "p02_001"):
        is_at(browser, name, 0)
        press(browser, "x", "e")
        marks(browser)
    browser.until("!document.querySelector('#rest').hidden")
    assert browser.text("#rest-title") == "All clips are labelled"
    assert "3 of 3 clips saved" in browser.text("#done")
    browser.screenshot(OUT / "label-done.png", whole=False)


def test_a_server_that_has_ended_is_told(browser: Browser, folder: Path) -> None:
    with page(folder) as server:
        browser.visit(server.url)
        is_at(browser, "p01_001_happiness", 0)
    press(browser, "s")
    browser.until("document.querySelector('#says').textContent.includes('edge-fer has ended')")
