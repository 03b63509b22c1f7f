"""Labels for flight controllers and ground stations, over MAVLink 2 on UDP or a serial line.

sink.py: the sink and its thread
talk.py: what is said, and when  <- topics.py, faults.py, computer.py, within budget.py
<- autopilot.py, timesync.py: what is heard
link.py: the links               <- udp.py, serial_line.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the settings check a link's name, and are imported by all the rest
    from edge_fer.publish import Sink
    from edge_fer.settings import Settings


def open_sink(settings: Settings) -> Sink:
    """Start to talk; see `edge_fer.publish.mavlink.sink.Mavlink`."""
    from edge_fer.publish.mavlink.sink import Mavlink

    return Mavlink(settings.publish.mavlink)


def validate(_: Settings) -> None:
    """Find out whether pymavlink is there.

    Raises:
        ConfigError: when it is not.
    """
    from edge_fer.publish.mavlink.sink import dialect

    dialect()


def check(settings: Settings) -> None:
    """Open the link once and send a heartbeat; see `edge_fer.publish.mavlink.sink.try_link`."""
    from edge_fer.publish.mavlink.sink import try_link

    try_link(settings.publish.mavlink)
