"""The page in Debian's headless Chromium. What it looked like is kept in out/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from edge_fer.publish.http.sink import HttpSink
from edge_fer.schema import Reading, SinkStatus, StageTime
from edge_fer.settings import PrivacySettings
from edge_fer.types import LABELS
from tests.support import ROOT
from tests.support.chromium import Browser
from tests.support.http_site import TOKEN, serving, write_token
from tests.support.records import make_face_reading, make_reading, make_status, make_track
from tests.support.waiting import wait_until

OUT = ROOT / "out"
TAB, ENTER, SPACE = ("Tab", 9), ("Enter", 13, "\r"), (" ", 32, " ")
STATUS = replace(
    make_status(),
    stages={"detect": StageTime(150, 27.13, 31.9, 44.0), "classify": StageTime(150, 7.2, 8.1, 9.9)},
    temperatures={"0:cpu-thermal": 61.5},
    sinks={"http": SinkStatus(sent=1234), "mqtt": SinkStatus("waiting", 1200, 3, 31, "no broker at 10.0.0.1")},
)


def reading(frame: int = 1, fps: float = 29.9, **changes: object) -> Reading:
    """Two faces, one without a label."""
    happy, unsure = make_face_reading(), replace(make_face_reading(None, "unsure"), id=8)
    return replace(make_reading(frame, (happy, unsure)), fps=fps, **changes)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def site(browser: Browser) -> Iterator[HttpSink]:
    """A site with something to show, open in the browser, which must not complain nor ask anybody else."""
    browser.prefer(prefers_color_scheme="light", prefers_reduced_motion="no-preference")
    browser.resize(1280, 900)
    with serving(PrivacySettings(notice="The drone team looks.\nAsk at the desk."), live=True) as sink:
        sink.publish(STATUS, None)
        sink.publish(reading(), None)
        browser.visit(f"http://127.0.0.1:{sink.port}/")
        browser.until("document.querySelector('#title').textContent !== 'Connecting'")
        yield sink
        asked = [urlsplit(address) for address in browser.requests]
        assert {address.netloc for address in asked if address.scheme != "data"} == {f"127.0.0.1:{sink.port}"}
        assert browser.complaints == []


def shows(browser: Browser, selector: str, text: str) -> None:
    """Wait until an element says something."""
    browser.until(f"document.querySelector({selector!r})?.textContent.includes({text!r})")


def test_it_shows_what_is_seen_and_goes_on(site: HttpSink, browser: Browser) -> None:
    shows(browser, "#fps", "29.9")
    shows(browser, "#faces-title", "2 faces in view")
    shows(browser, "#cards li:first-child h3", "happiness")
    shows(browser, "#cards li:first-child h3", "93 %")
    shows(browser, "#cards li:last-child h3", "no label")
    assert browser.evaluate("document.querySelectorAll('#cards li:first-child dt').length") == len(LABELS)
    shows(browser, "#stages", "27.1")
    shows(browser, "#sinks", "no broker at 10.0.0.1")
    shows(browser, "#notice", "Ask at the desk.")
    shows(browser, "#camera", "on")
    shows(browser, "#heat", "62 °C")
    for frame in range(2, 12):
        site.publish(reading(frame, fps=10.0 + frame), None)
        shows(browser, "#fps", f"{10 + frame}.0")
    drawn = """(() => { const sheet = document.querySelector("#cards canvas");
        return sheet.getContext("2d").getImageData(0, 0, sheet.width, sheet.height).data.some(v => v > 0) })()"""
    browser.until(drawn)
    browser.screenshot(OUT / "page.png")


def test_a_face_that_leaves_is_shown_so_and_then_goes(site: HttpSink, browser: Browser) -> None:
    shows(browser, "#cards li:last-child", "face 8")
    site.publish(make_reading(2), None)
    shows(browser, "#cards li:last-child", "out of view")
    shows(browser, "#faces-title", "No faces in view, 2 out of view")
    browser.until("document.querySelector('#cards').children.length === 0")
    assert browser.evaluate("document.querySelector('#nobody').checkVisibility()")


def test_faces_that_have_left_are_listed_once(site: HttpSink, browser: Browser) -> None:
    assert browser.evaluate("document.querySelector('#left').hidden")
    for track in (make_track(3), make_track(5, label=None), make_track(3)):
        site.publish(track, None)
    shows(browser, "#tracks tr:first-child", "no label")
    shows(browser, "#tracks tr:nth-child(3)", "happiness 93 %")
    shows(browser, "#tracks tr:nth-child(3)", "4.2 s")
    assert browser.evaluate("document.querySelectorAll('#tracks th').length") == 2
    named = browser.evaluate("document.querySelector('#tracks [role=img]').getAttribute('aria-label')")
    assert named == "of the time: happiness 65 %, surprise 25 %, no label 10 %"
    browser.screenshot(OUT / "page-tracks.png")
    browser.visit(f"http://127.0.0.1:{site.port}/")
    shows(browser, "#tracks tr:nth-child(3)", "happiness 93 %")
    browser.resize(360, 800)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 360
    browser.screenshot(OUT / "page-tracks-narrow.png")


def test_a_degraded_backend_is_plain(site: HttpSink, browser: Browser) -> None:
    why = "edgetpu:usb:0 is away: the CPU reads instead"
    site.publish(reading(2, degraded=True, reason=why), None)
    site.publish(replace(STATUS, state="degraded", message=why), None)
    shows(browser, "#title", "Degraded")
    shows(browser, "#reasons", why)
    browser.until("document.querySelector('#backend').dataset.level === 'warn'")
    assert browser.evaluate("document.querySelector('#state').dataset.level") == "warn"
    shows(browser, "#announcer", "Degraded: edgetpu:usb:0 is away")
    browser.screenshot(OUT / "page-degraded.png")


def test_a_lost_camera_is_plain(site: HttpSink, browser: Browser) -> None:
    site.publish(replace(STATUS, state="waiting_for_camera", message="no frame from /dev/video0 for 5 s"), None)
    shows(browser, "#title", "No camera")
    shows(browser, "#reasons", "no frame from /dev/video0 for 5 s")
    shows(browser, "#camera", "lost")
    assert browser.evaluate("document.querySelector('#state').dataset.level") == "bad"
    assert browser.evaluate("document.title").startswith("No camera")
    shows(browser, "#faces-title", "2 faces when last seen")
    browser.screenshot(OUT / "page-no-camera.png")
    site.publish(STATUS, None)
    site.publish(reading(3), None)
    shows(browser, "#camera", "on")


def test_its_own_lost_connection_is_plain_and_mended(browser: Browser) -> None:
    with serving() as sink:
        port = sink.port
        sink.publish(STATUS, None)
        sink.publish(reading(), None)
        browser.visit(f"http://127.0.0.1:{port}/")
        shows(browser, "#fps", "29.9")
    shows(browser, "#title", "Connection lost")
    shows(browser, "#reasons", "trying again")
    browser.screenshot(OUT / "page-disconnected.png")
    with serving(port=port) as sink:
        sink.publish(replace(STATUS, run="another", sinks={}), None)
        sink.publish(reading(fps=11.1, run="another"), None)
        shows(browser, "#title", "All is well")
        shows(browser, "#fps", "11.1")


def test_what_was_last_seen_is_told_in_one_way(browser: Browser) -> None:
    with serving() as sink:
        sink.publish(STATUS, None)
        sink.publish(reading(), None)
        browser.visit(f"http://127.0.0.1:{sink.port}/")
        shows(browser, "#faces-title", "2 faces in view")
        sink.publish(make_reading(2), None)
        shows(browser, "#faces-title", "No faces in view")
    shows(browser, "#title", "Connection lost")
    shows(browser, "#faces-title", "No faces when last seen")
    browser.until("!document.querySelector('.face:not(.gone)')")


def test_the_keyboard_is_enough(site: HttpSink, browser: Browser) -> None:
    focus = "document.activeElement.id || document.activeElement.className || document.activeElement.textContent"
    reached = []
    for _ in range(6):
        browser.press(*TAB)
        reached.append(browser.evaluate(focus))
    assert reached == ["skip", "pause", "picture", "health", "metrics", "schema"]
    browser.evaluate("document.querySelector('.skip').focus()")
    outlined = "getComputedStyle(document.activeElement).outlineStyle"
    assert browser.evaluate(outlined) == "solid", "what has the focus is seen"
    browser.press(*ENTER)
    browser.until("document.activeElement.id === 'main'")
    browser.evaluate("document.querySelector('#pause').focus()")
    browser.press(*SPACE)
    browser.until("document.querySelector('#pause').getAttribute('aria-pressed') === 'true'")
    site.publish(reading(2, fps=5.5), None)
    site.publish(replace(STATUS, state="waiting_for_camera"), None)
    shows(browser, "#title", "No camera")
    assert browser.text("#fps") == "29.9", "paused"
    browser.press(*SPACE)
    shows(browser, "#fps", "29.9")


def test_a_narrow_window_scrolls_one_way_only(site: HttpSink, browser: Browser) -> None:
    busy = {name: SinkStatus("failed", 10**9, 10**8, 10**7, "expected a broker, found none; " + "x" * 80)
            for name in ("http", "mavlink", "recording")}  # fmt: skip
    site.publish(replace(STATUS, sinks=busy, source="rtsp://" + "long-" * 30, temperatures={"y" * 60: 70.0}), None)
    site.publish(reading(2, source="rtsp://" + "long-" * 30), None)
    for width in (320, 480, 768):
        browser.resize(width, 700)
        shows(browser, "#sinks", "expected a broker")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
    for scheme in ("light", "dark"):
        browser.resize(320, 700)
        browser.prefer(prefers_color_scheme=scheme)
        browser.screenshot(OUT / f"page-320-{scheme}.png")


def test_no_word_is_too_long_for_a_narrow_window(browser: Browser, tmp_path: Path) -> None:
    long = "https://example.org/" + "x" * 200
    troubled = replace(
        STATUS, message=long, source=long, model="m" * 90, backend="b" * 90, temperatures={"y" * 60: 70.0},
        state="degraded", sinks={"mqtt": SinkStatus("failed", reason=long)},
    )  # fmt: skip
    browser.resize(320, 700)
    browser.call("Network.clearBrowserCookies")
    with serving(PrivacySettings(notice=long), device="d" * 90, token_file=write_token(tmp_path)) as sink:
        sink.publish(reading(2, degraded=True, reason=long, source=long, model="m" * 90, backend="b" * 90), None)
        sink.publish(troubled, None)
        browser.visit(f"http://127.0.0.1:{sink.port}/")
        shows(browser, ".notice", long)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 320
        browser.call("Input.insertText", text=TOKEN)
        browser.press(*ENTER)
        for place in ("#reasons", "#facts", "#sinks", "#notice", "#camera-note"):
            shows(browser, place, long)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 320
        browser.screenshot(OUT / "page-320-long.png")


def test_without_scripts_it_says_so_and_shows_the_notice(browser: Browser) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        with serving(PrivacySettings(notice="Ask at the desk.")) as sink:
            browser.visit(f"http://127.0.0.1:{sink.port}/")
            assert browser.evaluate("document.querySelector('noscript').checkVisibility()")
            assert "needs JavaScript" in browser.text("noscript")
            assert browser.evaluate("document.querySelector('#notice').checkVisibility()")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_it_is_dark_where_that_is_wished(site: HttpSink, browser: Browser) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = browser.evaluate(ground)
    browser.prefer(prefers_color_scheme="dark")
    assert browser.evaluate(ground) != light
    browser.screenshot(OUT / "page-dark.png")


def test_it_is_still_where_that_is_wished(site: HttpSink, browser: Browser) -> None:
    duration = "getComputedStyle(document.querySelector('.bar i')).transitionDuration"
    browser.until("document.querySelector('.bar i') !== null")
    assert browser.evaluate(duration) == "0.15s"
    browser.prefer(prefers_reduced_motion="reduce")
    assert browser.evaluate(duration) == "0s"


def test_it_has_landmarks_names_and_is_quiet(site: HttpSink, browser: Browser) -> None:
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    found = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    roles = [role for role, _ in found]
    for landmark in ("banner", "main", "contentinfo", "status"):
        assert roles.count(landmark) == 1, landmark
    assert {name for role, name in found if role == "region"} >= {
        "State", "Gauges", "Picture", "2 faces in view", "Time of each stage, ms", "Where readings go", "This box",
        "Notice",
    }  # fmt: skip
    assert all(name for role, name in found if role in ("button", "link", "image", "region", "heading"))
    assert any(role == "heading" and name == "drone-7" for role, name in found)
    browser.evaluate(
        "window.said = 0; new MutationObserver(() => said++).observe(announcer, {childList: true, subtree: true})"
    )
    for frame in range(2, 30):
        site.publish(reading(frame, fps=float(frame)), None)
    shows(browser, "#fps", "29.0")
    assert browser.evaluate("said") == 0


def test_what_is_written_can_be_read(site: HttpSink, browser: Browser) -> None:
    """Contrast by WCAG 2.2, 1.4.3: 4.5 to 1 for text."""
    script = """(() => {
        const style = getComputedStyle(document.documentElement);
        const light = name => { const parts = style.getPropertyValue(name).trim().match(/\\w\\w/g);
            const [r, g, b] = parts.map(part => parseInt(part, 16) / 255)
                .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
            return .2126 * r + .7152 * g + .0722 * b; };
        const contrast = (one, other) => { const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
            return (a + .05) / (b + .05); };
        return [["--ink", "--panel"], ["--soft", "--panel"], ["--soft", "--ground"], ["--well", "--well-ground"],
            ["--warn", "--warn-ground"], ["--bad", "--bad-ground"], ["--ink", "--bad-ground"], ["--warn", "--panel"],
            ["--bad", "--panel"]].map(pair => contrast(...pair)); })()"""
    for scheme in ("light", "dark"):
        browser.prefer(prefers_color_scheme=scheme)
        assert min(browser.evaluate(script)) >= 4.5, scheme


def test_the_picture_is_shown_and_hidden(site: HttpSink, browser: Browser) -> None:
    picture = np.full((120, 160, 3), 90, np.uint8)
    has = "document.querySelector('#image').naturalWidth"

    def shown() -> bool:
        site.publish(reading(2), picture)
        return browser.evaluate(has) == 160

    wait_until(shown)
    browser.evaluate("document.querySelector('#picture').click()")
    browser.until("!document.querySelector('#image').hasAttribute('src')")
    browser.evaluate("document.querySelector('#picture').click()")
    wait_until(shown)


def test_a_stranger_logs_in_and_out(browser: Browser, tmp_path: Path) -> None:
    notice = PrivacySettings(notice="The drone team looks.\nAsk at https://example.org/" + "who-looks-and-why/" * 6)
    browser.call("Network.clearBrowserCookies")
    with serving(notice, token_file=write_token(tmp_path)) as sink:
        sink.publish(STATUS, None)
        sink.publish(reading(), None)
        browser.resize(320, 640)
        browser.visit(f"http://127.0.0.1:{sink.port}/")
        shows(browser, "form", "Token of this box")
        shows(browser, ".notice", "The drone team looks.")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 320
        browser.until("document.activeElement.id === 'token'")
        browser.screenshot(OUT / "login.png", whole=False)
        browser.press(*TAB)
        assert browser.evaluate("document.activeElement.tagName") == "BUTTON"
        browser.evaluate("document.querySelector('#token').focus()")
        browser.call("Input.insertText", text="wrong")
        browser.press(*ENTER)
        shows(browser, "#problem", "That is not the token")
        browser.until("document.activeElement.id === 'token'")
        browser.call("Input.insertText", text=TOKEN)
        browser.press(*ENTER)
        shows(browser, "#fps", "29.9")
        assert browser.evaluate("document.cookie") == "", "scripts do not see it"
        assert browser.evaluate("location.href") == f"http://127.0.0.1:{sink.port}/"
        browser.evaluate("document.querySelector('#logout').click()")
        shows(browser, "form", "Token of this box")
        assert all(TOKEN not in address for address in browser.requests)


@pytest.mark.slow
def test_a_page_in_the_background_goes_on_telling_in_its_title(site: HttpSink, browser: Browser) -> None:
    address = browser.evaluate("location.href")
    page = browser.call("Target.createTarget", url=address, background=True)["targetId"]

    def title() -> str:
        (found,) = (one for one in browser.call("Target.getTargets")["targetInfos"] if one["targetId"] == page)
        return str(found["title"])

    try:
        wait_until(lambda: title().startswith("A sink has trouble"), seconds=20, what="what the sink tells")
        site.publish(replace(STATUS, sinks={}, state="waiting_for_camera", message="no camera"), None)
        wait_until(lambda: title().startswith("No camera"), seconds=20, what="the camera that is lost")
    finally:
        browser.call("Target.closeTarget", targetId=page)


@pytest.mark.slow
def test_faces_that_come_and_go_while_nothing_is_drawn_are_not_kept(site: HttpSink, browser: Browser) -> None:
    browser.evaluate("document.querySelector('#pause').click()")
    for frame in range(2, 42):
        site.publish(make_reading(frame, (replace(make_face_reading(), id=100 + frame),)), None)
    browser.until("faces.size > 20")
    browser.until("faces.size <= 2")
    assert browser.evaluate("document.querySelectorAll('.face').length") == 2
