"""A page that is one file, and the policy that lets a browser run only what is in it."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from importlib.resources import files

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
_PLACE = re.compile(r"\{\{(\w+)\}\}")


class Page:
    """One of the HTML files that come along.

    `{{name}}` outside of script and style stands for a text.

    Args:
        name: of the file.
        texts: those that are always the same.

    Attributes:
        policy: its Content-Security-Policy: scripts and styles by their hashes, all else from here or not at all.
    """

    def __init__(self, name: str, **texts: str) -> None:
        self._texts = texts
        self._text = (files(__package__) / name).read_text(encoding="utf-8")
        hashes: dict[str, list[str]] = {"script": ["'none'"], "style": ["'none'"]}
        for kind, content in _INLINE.findall(self._text):
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            hashes[kind] = [f"'sha256-{digest}'"]
        self.policy = "; ".join(
            [
                "default-src 'none'",
                *(f"{kind}-src {' '.join(sources)}" for kind, sources in hashes.items()),
                "connect-src 'self'",
                "img-src 'self' data:",
                "form-action 'self'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            ]
        )

    def html(self, **texts: str) -> str:
        """The page with these texts, and those that are always the same, in their places, escaped."""
        texts = {**self._texts, **texts}
        return _PLACE.sub(lambda place: html.escape(texts[place[1]]), self._text)
