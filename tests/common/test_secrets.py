from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_fer.common.secrets import forget_secrets, hide_secrets, keep_secret, keep_secrets_of
from edge_fer.common.text import shown

URL = "rtsp://admin:Sonne@Mond#7@127.0.0.1:9/a"


@pytest.mark.parametrize(
    "text",
    [
        "Failed to resolve hostname Mond: Name or service not known",
        "[tcp @ 0x55] Mond#7@127.0.0.1:9 refused",
        "http://admin:Sonne%40Mond%237@127.0.0.1",
        "user admin, password Sonne@Mond#7",
        "line one\nSonne\nline three",
    ],
)
def test_a_known_password_is_hidden_with_its_pieces(text: str) -> None:
    keep_secrets_of({"capture": {"source": URL}})
    hidden = hide_secrets(text)
    assert "Mond" not in hidden
    assert "Sonne" not in hidden
    assert hidden.count("\n") == text.count("\n")
    assert hide_secrets("admin at tcp://127.0.0.1:9?timeout=5") == "admin at tcp://127.0.0.1:9?timeout=***"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("rtsp://host/live#geheim", "geheim"),
        ("rtsp://host/user/admin/password/geheim/ch1", "geheim"),
        ("rtsp://host/admin:geheim/ch1", "geheim"),
        ("rtsp://admin:geheim", "geheim"),
        ("rtmp://host/app/5f3c8d1e9a7b2c4d", "5f3c8d1e9a7b2c4d"),
        ("rtsp://host:7447/5acfe6dc-1234-4abc-9def-0123456789ab", "5acfe6dc-1234-4abc-9def-0123456789ab"),
        ("http://host/a;password=geheim", "geheim"),
    ],
)
def test_secrets_without_an_at_sign_are_hidden(text: str, secret: str) -> None:
    assert secret not in hide_secrets(f"cannot open {text}: no such stream")
    keep_secrets_of(text)
    assert secret not in hide_secrets(f"{secret} refused")


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://10.0.0.5:554/Streaming/Channels/101",
        "rtsp://cam.local:8554/h264Preview_01_main",
        "http://[fe80::1]:8080/video.mjpg?fps=5",
        "https://host/keys.html",
        "expected udpin:127.0.0.1:14551 or serial:/dev/ttyAMA0:57600",
        "/home/me/passwords/clip-2026-11-30T10:20:30.mp4",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert hide_secrets(text) == text


PASSWORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=30)


@settings(max_examples=50)
@given(PASSWORDS, st.sampled_from(["rtsp://u:{}@host/a", "u:{}@host", "http://h/a?pwd={}", "{}"]))
def test_no_known_password_leaves_in_any_form(password: str, form: str) -> None:
    assume(len(password) > 2 and password not in form and "***" not in password and password not in "u:***@host/a?pwd=")
    forget_secrets()
    keep_secrets_of(f"rtsp://u:{password}@host/a")
    for written in (password, quote(password, safe=""), unquote(password)):
        if len(written) > 2:
            assert written not in hide_secrets(form.format(written)).replace("***", "")


@given(st.text(max_size=300))
def test_text_without_secrets_keeps_its_lines(text: str) -> None:
    keep_secret("swordfish")
    assert hide_secrets(text).count("\n") <= text.count("\n")


def test_long_texts_take_no_long_time() -> None:
    """Linear in their length: the square of 100,000 would take minutes."""
    for text in (":", "a", "pass", "?", "://", "/a:", "://a/", "://pass/"):
        hide_secrets(text * 1000)
        hide_secrets("a" * 100_000 + text)


def test_an_at_sign_in_a_path_makes_no_secret_of_the_host() -> None:
    keep_secrets_of("https://host.example/@someone/live")
    assert hide_secrets("cannot reach host.example") == "cannot reach host.example"


def test_short_words_that_are_part_of_a_password_stay() -> None:
    keep_secret("a#is#run")
    assert hide_secrets("this is a running run") == "this is a running ***"


def test_values_are_shown_without_secrets_and_cut() -> None:
    assert shown(12) == "12"
    assert shown([1.5, 2]) == "[1.5, 2]"
    assert shown("abc") == "'abc'"
    assert shown({"user": "x", "password": "y"}) == "names and values"
    assert shown(["hunter2"]) == "a list"
    assert shown(URL) == "'rtsp://***@127.0.0.1:9/a'"
    assert len(shown("x" * 5000)) <= 80
