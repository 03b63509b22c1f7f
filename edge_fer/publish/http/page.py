"""An HTML page in one file, and the policy that lets a browser run only the scripts in it."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from importlib.resources import files

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
_PLACE = re.compile(r"\{\{(\w+)\}\}")


class Page:
    """One of the HTML files of a package.

    `{{name}}` outside of script and style is a placeholder for a text.

    Args:
        name: the file's name.
        package: the package that has it; None: this one.
        texts: the texts that are always the same, by placeholder.

    Attributes:
        policy: its Content-Security-Policy: scripts and styles by their hashes, all else from this server or not at
            all.
    """

    def __init__(self, name: str, package: str | None = None, **texts: str) -> None:
        self._texts = texts
        self._text = (files(package or __package__) / name).read_text(encoding="utf-8")
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
        """The page with all placeholders replaced by texts, which are escaped.

        Args:
            texts: further texts, by placeholder.
        """
        texts = {**self._texts, **texts}
        return _PLACE.sub(lambda place: html.escape(texts[place[1]]), self._text)
