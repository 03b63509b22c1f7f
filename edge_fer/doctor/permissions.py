"""Why a user may not open a device, and what to type."""

from __future__ import annotations

from pathlib import Path

from edge_fer.doctor.host import Host


def how_to_open(host: Host, device: Path, rule: str) -> str:
    """What to type to give this user access to a device.

    Args:
        host: the machine.
        device: the device that the user may not open.
        rule: what to type when the device has no group of its own; see `udev_rule`.
    """
    group = host.group_of(device)
    if group == "root" or group in host.groups:  # no group of its own, or one that has no permission
        return rule
    if host.user in host.members(group):
        return f"log out and in again: {host.user} is in the group {group}, this session is not yet"
    return f"sudo usermod -aG {group} {host.user}, then log out and in again"


def udev_rule(match: str, group: str) -> str:
    """What to type to give devices to a group, now and when they are plugged in."""
    rule = f'{match}, MODE="0660", GROUP="{group}"'
    return (
        f"echo '{rule}' | sudo tee /etc/udev/rules.d/60-edge-fer.rules && "
        "sudo udevadm control --reload && sudo udevadm trigger"
    )
