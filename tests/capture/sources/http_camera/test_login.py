"""Addresses and logins: the examples of the standards, and what cameras make of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from edge_fer.capture.sources.http_camera.address import Login, parse_address
from edge_fer.capture.sources.http_camera.login import Authorization, digest_header

RFC2617 = (
    Login("Mufasa", "Circle Of Life"),
    {
        "realm": "testrealm@host.com",
        "qop": "auth,auth-int",
        "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "opaque": "5ccc069c403ebaf9f0171e9517f40e41",
    },
    "0a4f113b",
    "6629fae49393a05397450978507c4ef1",
)
RFC7616_FIELDS = {
    "realm": "http-auth@example.org",
    "qop": "auth, auth-int",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
}
RFC7616_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
RFC7616 = [
    (Login("Mufasa", "Circle of Life"), {**RFC7616_FIELDS, "algorithm": algorithm}, RFC7616_CNONCE, response)
    for algorithm, response in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ]
]


@pytest.mark.parametrize(("login", "asked", "cnonce", "response"), [RFC2617, *RFC7616])
def test_digests_are_those_of_the_standards(login, asked, cnonce, response):
    header = digest_header(login, asked, "/dir/index.html", 1, cnonce)
    assert f'response="{response}"' in header
    assert "nc=00000001" in header
    assert ("algorithm" in header) == ("algorithm" in asked)


def test_a_digest_without_qop_has_no_counter():
    header = digest_header(Login("u", "p"), {"realm": "r", "nonce": "n"}, "/", 1, "c")
    assert re.fullmatch(r'Digest username="u", realm="r", nonce="n", uri="/", response="[0-9a-f]{32}"', header)


def test_a_session_hashes_the_secret_again():
    asked = {"realm": "r", "nonce": "n", "qop": "auth", "algorithm": "MD5-sess"}
    header = digest_header(Login("u", "p"), asked, "/", 1, "c")
    assert "algorithm=MD5-sess" in header
    plain = digest_header(Login("u", "p"), {**asked, "algorithm": "MD5"}, "/", 1, "c")
    assert re.findall('response="(.*?)"', header) != re.findall('response="(.*?)"', plain)


DIGEST = 'Digest realm="a, b", nonce="n", qop="auth"'
BASIC = 'Basic realm="camera"'


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([BASIC], "Basic"),
        ([], "Basic"),
        ([DIGEST], "Digest"),
        ([BASIC, DIGEST], "Digest"),
        ([f"{BASIC}, {DIGEST}"], "Digest"),
        ([f"{DIGEST}, {BASIC}"], "Digest"),
        (['Digest realm="r", nonce="n", algorithm=SHA-512-256', DIGEST], "Digest"),
        (['Digest realm="r", nonce="n", algorithm=SHA-512-256', BASIC], "Basic"),
        (['Digest realm="r", nonce="n", qop="auth-int"', BASIC], "Basic"),
        (['Digest realm="r"', "Negotiate"], None),
        (["NTLM"], None),
    ],
)
def test_what_a_camera_asks_for_is_answered(headers, expected):
    authorization = Authorization(Login("u", "p"))
    assert authorization.header("/") is None, "nothing is sent unasked"
    assert authorization.challenge(headers) == (expected is not None)
    header = authorization.header("/")
    assert (header or "").partition(" ")[0] == (expected or "")
    if expected == "Digest":
        assert 'realm="a, b"' in header
        assert "nc=00000002" in authorization.header("/"), "each answer counts"


def test_a_password_of_any_letters_can_be_sent():
    authorization = Authorization(Login("jörg", "pässwörd:@/\N{SNOWMAN}"))
    assert authorization.challenge([BASIC])
    assert authorization.header("/") == "Basic asO2cmc6cMOkc3N3w7ZyZDpAL+KYgw=="
    assert authorization.challenge([DIGEST])
    assert authorization.header("/").isprintable()


@examples(deadline=None, max_examples=60)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_whatever_a_camera_asks_for_is_answered_or_not(random, value):
    authorization = Authorization(Login("u", "p"))
    fields, text = random.decode(errors="surrogateescape"), value.decode(errors="surrogateescape")
    for headers in ([f"Digest {fields}"], [f'Digest realm="{text}", nonce="{text}", {fields}'], [text]):
        if authorization.challenge(headers):
            header = authorization.header("/")
            assert header.startswith(("Digest ", "Basic "))
            assert header.encode(errors="surrogateescape")


@pytest.mark.parametrize(
    ("text", "url", "login"),
    [
        ("http://host", "http://host:80/", None),
        ("HTTPS://Host/a?b=c#d", "https://host:443/a?b=c", None),
        ("http://u:p@host:8080/a b?c d", "http://host:8080/a%20b?c%20d", ("u", "p")),
        ("http://u:p%40ss%2Fword@host/%41", "http://host:80/%41", ("u", "p@ss/word")),
        ("http://u@host/", "http://host:80/", ("u", "")),
        ("http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]:80/", None),
        ("http://host/bücher", "http://host:80/b%C3%BCcher", None),
    ],
)
def test_an_address_is_taken_apart(text, url, login):
    address = parse_address(text)
    assert (address.url, address.login) == (url, login)


def test_the_address_with_the_login_means_the_same():
    address = parse_address("https://u:p%40ss%2F%3Aword@host:8443/a?b")
    assert address.url_with_login == "https://u:p%40ss%2F%3Aword@host:8443/a?b"
    assert parse_address("http://host/").url_with_login == "http://host:80/"


@pytest.mark.parametrize("text", ["http://", "http://u:p/w@host/", "http://host:port/", "http://[::1/", "ftp://host/"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_address(text)


@pytest.mark.parametrize(
    ("before", "location", "after", "logged_in"),
    [
        ("http://u:p@host/a/b", "c", "http://host:80/a/c", True),
        ("http://u:p@host/a", "//host:80/b", "http://host:80/b", True),
        ("http://u:p@host/a", "https://host/a", "https://host:443/a", True),
        ("https://u:p@host/a", "http://host/a", "http://host:80/a", False),
        ("http://u:p@host/a", "http://host:81/a", "http://host:81/a", False),
        ("http://u:p@host/a", "http://other/a", "http://other:80/a", False),
        ("http://u:p@host/a", "http://v:q@other/a", "http://other:80/a", False),
    ],
)
def test_a_login_goes_to_its_own_host_only(before, location, after, logged_in):
    address = parse_address(before).redirected(location)
    assert address.url == after
    assert address.login == (("u", "p") if logged_in else None)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://host/", "gopher://x", "http://:80/"])
def test_a_redirect_to_anything_but_http_is_refused(location):
    with pytest.raises(ValueError, match=r"."):
        parse_address("http://host/").redirected(location)
