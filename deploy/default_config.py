"""Write a service's configuration: every setting with its meaning; those that a service needs are active.

Run by `make config`: python deploy/default_config.py > systemd/config.yaml
                      python deploy/default_config.py serve > systemd/serve.yaml
"""

from __future__ import annotations

import sys

import yaml

from edge_fer.settings import Settings, dump_settings

ACTIVE: dict[str, object] = {
    "capture.wait": True,
    "classify.usb_helper": "/run/edge-fer-usb.sock",
    "publish.format": "none",
    "publish.keep_going": True,
    "publish.http.enabled": True,
}

SERVE_ACTIVE: dict[str, object] = {
    "classify.usb_helper": "/run/edge-fer-usb.sock",
    "publish.format": "none",
    "publish.keep_going": True,
    "publish.http.enabled": True,
    "publish.http.port": 8081,
    "serve.listen": "127.0.0.1:9010",
}
"""For a server of faces; its page does not take the port of a camera's on the same box."""

SERVE_SECTIONS = ("device", "classify", "monitor", "health", "publish", "serve", "log")

HEAD = """\
# Settings of edge-fer.service. What differs from the defaults is active; all others stand here with their default: take
# the # away to change one, and the # before the section, too, where there is one.
#
#   sudo -u edge-fer /opt/edge-fer/current/bin/edge-fer config check --config /etc/edge-fer/config.yaml
#   sudo systemctl reload edge-fer
#
# The first says whether it is valid and the sinks work; as the service's user, for root may read and write what the
# service may not. A serial port that the running service holds is in use for it. The second puts the file in force; one
# that is not valid changes nothing.
# The service may write below /var/lib/edge-fer only. An upgrade leaves this file alone.
"""


SERVE_HEAD = """\
# Settings of edge-fer-serve.service, which reads faces for other computers; see docs/remote.md.
# What differs from the defaults is active; all others that matter to a server stand here with their default.
#
#   sudo -u edge-fer /opt/edge-fer/current/bin/edge-fer config check --config /etc/edge-fer/serve.yaml
#   sudo systemctl enable --now edge-fer-serve
#   sudo systemctl reload edge-fer-serve
"""


def serve_config() -> str:
    """The content of the server's file."""
    return SERVE_HEAD + _sections(default_config(SERVE_ACTIVE, head=""), SERVE_SECTIONS)


def _sections(text: str, names: tuple[str, ...]) -> str:
    """Some of the sections of a file; those within a section belong to it."""
    kept, is_kept = [], False
    for block in text.strip("\n").split("\n\n"):
        if not block.startswith(" "):
            is_kept = block.lstrip("#").partition(":")[0] in names
        if is_kept:
            kept.append(block)
    return "\n" + "\n\n".join(kept) + "\n"


def default_config(chosen: dict[str, object] = ACTIVE, head: str = HEAD) -> str:
    """The content of a file.

    Args:
        chosen: the settings that are active, with their values.
        head: comments at its beginning.
    """
    lines: list[str] = []
    where: list[str] = []
    for line in dump_settings(Settings()).splitlines():
        text = line.lstrip()
        indent = line[: len(line) - len(text)]
        if not text or text.startswith(("#", "- ")):
            lines.append(line)
            continue
        key, _, comment = text.partition("  # ")
        name, _, value = key.partition(":")
        where = [*where[: len(indent) // 2], name]
        dotted = ".".join(where)
        if dotted in chosen:
            lines.append(f"{indent}{name}: {yaml.safe_dump(chosen[dotted]).splitlines()[0]}  # {comment}")
        elif not value and (not indent or any(active.startswith(f"{dotted}.") for active in chosen)):
            lines.append(line)
        else:
            lines.append(f"{indent}#{text}")
    return head + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(serve_config() if sys.argv[1:] == ["serve"] else default_config())
