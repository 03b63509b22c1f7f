"""Answers a camera that asks for user and password: basic and digest (RFC 7617, RFC 7616).

The digest of `urllib.request` knows neither SHA-256, nor MD5-sess, nor passwords outside ASCII.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from urllib.request import parse_http_list

from edge_fer.capture.sources.http_camera.address import Login

_HASHES = {"MD5": "md5", "SHA-256": "sha256"}  # the standard's names, and those of hashlib


class Authorization:
    """What to send in the header `Authorization`: nothing, until a camera has asked for it.

    Args:
        login: user and password.
    """

    def __init__(self, login: Login) -> None:
        self._login = login
        self._basic = False
        self._digest: dict[str, str] | None = None
        self._count = 0

    def challenge(self, headers: Sequence[str]) -> bool:
        """Take note of what a camera asks for; digest is preferred to basic, which sends the password as it is.

        Args:
            headers: the values of its headers `WWW-Authenticate`, in which bytes that are no UTF-8 are surrogates;
                without any, basic is tried.

        Returns:
            Whether it can be answered.
        """
        self._digest, self._count = next(filter(None, map(_parse_digest, headers)), None), 0
        self._basic = not headers or any(re.search(r"\bbasic\b", header, re.IGNORECASE) for header in headers)
        return self._basic or self._digest is not None

    def header(self, target: str) -> str | None:
        """The header's value for a GET; None while nothing has been asked for.

        Args:
            target: path and query.
        """
        if self._digest is not None:
            self._count += 1
            return digest_header(self._login, self._digest, target, self._count, secrets.token_hex(8))
        if self._basic:
            return "Basic " + base64.b64encode(":".join(self._login).encode()).decode()
        return None


def digest_header(login: Login, asked: dict[str, str], target: str, count: int, cnonce: str) -> str:
    """The answer to a digest challenge, for a GET.

    Args:
        login: user and password.
        asked: the challenge's fields.
        target: path and query.
        count: how many answers the nonce has had, this one included.
        cnonce: a random text of our own.
    """
    algorithm, session, _ = asked.get("algorithm", "MD5").upper().partition("-SESS")

    def hashed(*parts: str) -> str:
        return hashlib.new(
            _HASHES[algorithm], ":".join(parts).encode(errors="surrogateescape"), usedforsecurity=False
        ).hexdigest()

    realm, nonce = asked["realm"], asked["nonce"]
    secret = hashed(login.user, realm, login.password)
    if session:
        secret = hashed(secret, nonce, cnonce)
    request = hashed("GET", target)
    counted = {"nc": f"{count:08x}", "cnonce": cnonce, "qop": "auth"} if "qop" in asked else {}
    response = hashed(secret, nonce, *counted.values(), request)
    quoted = {"username": login.user, "realm": realm, "nonce": nonce, "uri": target, "response": response}
    if "opaque" in asked:
        quoted["opaque"] = asked["opaque"]
    if counted:
        quoted["cnonce"] = cnonce
    fields = [f'{name}="{_escaped(value)}"' for name, value in quoted.items()]
    fields += [f"{name}={counted[name]}" for name in ("nc", "qop") if counted]
    if "algorithm" in asked:  # a camera that names none may know none
        fields.append(f"algorithm={asked['algorithm']}")
    return f"Digest {', '.join(fields)}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _parse_digest(header: str) -> dict[str, str] | None:
    """The fields of a digest challenge; None where there is none, or none that can be answered."""
    match = re.search(r"\bdigest\s+(.*?)(?:,\s*(?:basic|digest)\s|$)", header, re.IGNORECASE | re.DOTALL)
    if match is None:
        return None
    pairs = [item.partition("=") for item in parse_http_list(match[1])]
    fields = {name.strip().lower(): value.strip().removeprefix('"').removesuffix('"') for name, _, value in pairs}
    algorithm = fields.get("algorithm", "MD5").upper().removesuffix("-SESS")
    answers = "qop" not in fields or "auth" in [one.strip() for one in fields["qop"].lower().split(",")]
    return fields if answers and algorithm in _HASHES and {"realm", "nonce"} <= fields.keys() else None
