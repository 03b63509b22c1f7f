"""Write the service's configuration: every setting with its meaning; those that a service needs are active.

Run by `make config`: python deploy/default_config.py > systemd/config.yaml
"""

from __future__ import annotations

import sys

import yaml

from edge_fer.settings import Settings, dump_settings

ACTIVE = {
    "capture.wait": True,
    "classify.usb_helper": "/run/edge-fer-usb.sock",
    "publish.format": "none",
    "publish.keep_going": True,
    "publish.http.enabled": True,
}

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


def default_config() -> str:
    """The content of the file."""
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
        if dotted in ACTIVE:
            lines.append(f"{indent}{name}: {yaml.safe_dump(ACTIVE[dotted]).splitlines()[0]}  # {comment}")
        elif not value and (not indent or any(active.startswith(f"{dotted}.") for active in ACTIVE)):
            lines.append(line)
        else:
            lines.append(f"{indent}#{text}")
    return HEAD + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(default_config())
