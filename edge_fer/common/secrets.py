"""Passwords, tokens and keys, which no text that leaves the process may show.

Two things hide them: rules for where a URL has its secrets, and a list of those that the settings and their files
name. A library may write a secret in another way than it was written to it (decoded, or cut at an @ or a #), so each
is known with its pieces.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

_NAMES = "pass|pwd|token|key|secret|auth|sig|cred"  # a field whose name contains one of these holds a secret
_HARMLESS = "w|h|width|height|size|res|resolution|fps|rate|channel|camera|stream|subtype|profile|codec|quality|action"
_URL = r"://[^\s'\"]{0,499}?"

_RULES = tuple(
    re.compile(rule, re.IGNORECASE)
    for rule in (
        # A password may hold any character: all between a word's first colon and its last @ is taken for one.
        r":/*(?P<login>\S{0,499})@",
        # Between a host's name and its port there is a number only; else this is a name, a password, and no host.
        r"://(?P<login>[^\s/?#@:\[\]'\"]{1,99}:(?!\d*(?:[/?#\s'\"),;.]|$))[^\s'\"]*)",
        rf"(?:{_NAMES})[\w-]{{0,60}}=(?P<secret>[^&\s]*)",
        # Cameras have many names for it: of a query all is hidden that is not known to be harmless.
        rf"[?&](?!(?:{_HARMLESS})=)[^=&\s]{{0,99}}=(?P<secret>[^&\s]*)",
        rf"{_URL}#(?P<secret>[^\s'\"]+)",
        # In a path: what follows a name for it, `user:password`, and a long number or a UUID.
        rf"{_URL}/[^/\s]{{0,60}}(?:{_NAMES})[^/\s=]{{0,60}}/(?P<secret>[^/?#&\s'\"]+)",
        rf"{_URL}/[^/?#:\s]{{1,60}}:(?P<secret>[^/?#&\s'\"]+)",
        rf"{_URL}/(?P<secret>(?=[a-z]*\d)[a-z0-9]{{16,}}|[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})(?![\w.-])",
    )
)
"""Each finds, in its one group, what is to be hidden: a secret, or a user's name with it."""

_HIDDEN = "***"

_SHORTEST = 3  # a shorter piece would be hidden in words that have nothing to do with it
_MOST = 256
_known: OrderedDict[str, re.Pattern[str]] = OrderedDict()


def keep_secret(secret: str) -> None:
    """Hide a secret from now on, and its pieces, in whatever way they are encoded.

    Args:
        secret: the secret as it was given; one that is too short to be told from other text is not noted.
    """
    forms = {secret, unquote(secret), quote(secret, safe="")}
    for piece in forms.union(*(re.split(r"[@#/?:&=\s]+", form) for form in forms)):
        if len(piece) >= _SHORTEST and piece != _HIDDEN:
            before = r"(?<![A-Za-z0-9])" if piece[0].isalnum() else ""
            after = r"(?![A-Za-z0-9])" if piece[-1].isalnum() else ""
            _known[piece] = re.compile(before + re.escape(piece) + after)
            _known.move_to_end(piece)
    while len(_known) > _MOST:
        _known.popitem(last=False)


def keep_secrets_of(content: Any) -> None:
    """Hide from now on what texts have where URLs have their secrets.

    Args:
        content: a text, or mappings and lists of them, such as settings that were not validated yet.
    """
    for whole in _texts(content):
        text = whole  # less what one rule has found, so that the next one does not take more for a secret
        _keep_login(text.partition("://")[2].rpartition("@")[0])  # which may hold spaces, too
        for rule in _RULES:
            for match in rule.finditer(text):
                if match.lastgroup == "login":
                    _keep_login(match["login"])
                else:
                    keep_secret(match["secret"])
            text = rule.sub(_hide, text)


def hide_secrets(text: str) -> str:
    """A text in which the user names, passwords and keys of URLs are replaced by `***`, and all known secrets.

    Args:
        text: the text, of any number of lines.
    """
    for piece in sorted(_known, key=len, reverse=True):
        if piece in text:
            text = _known[piece].sub(_HIDDEN, text)
    for rule in _RULES:
        text = rule.sub(_hide, text)
    return text


def forget_secrets() -> None:
    """Know no secret any more, as at the start."""
    _known.clear()


def _keep_login(login: str) -> None:
    user, _, password = login.partition(":")
    if password or "/" not in user:  # else it is a host and a path with an @ in it
        keep_secret(password or user)


def _hide(match: re.Match[str]) -> str:
    start, end = (place - match.start() for place in match.span(1))
    return match[0][:start] + _HIDDEN + match[0][end:]


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for item in content.values():
            yield from _texts(item)
    elif isinstance(content, Iterable) and not isinstance(content, bytes):
        for item in content:
            yield from _texts(item)
