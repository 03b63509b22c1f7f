"""Print the status of the service's /healthz; `silent` without an answer, `off` where the site is not served.

Run by deploy/upgrade.sh with the interpreter of a release: python healthz.py CONFIG
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

from edge_fer.settings import load_settings

_ANSWER_S = 3.0
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where a server that listens everywhere is reached


def answer(config: Path) -> str:
    """The answer of the HTTP server that the settings describe.

    Args:
        config: the service's configuration.
    """
    http = load_settings(config).publish.http
    if not http.enabled or http.port == 0:
        return "off"
    host = _LOOPBACK.get(http.address, http.address)
    request = urllib.request.Request(f"http://{f'[{host}]' if ':' in host else host}:{http.port}/healthz")
    if http.token_file is not None:
        request.add_header("Authorization", f"Bearer {http.token_file.read_text(encoding='utf-8').strip()}")
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as response:  # noqa: S310  the scheme is ours
            return str(response.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError:
        return "silent"


if __name__ == "__main__":
    print(answer(Path(sys.argv[1])))  # noqa: T201  a script talks
