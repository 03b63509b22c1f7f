"""Labels for flight controllers and ground stations, over MAVLink 2 on UDP or a serial line.

sink.py       the sink and its thread
scheduler.py  which messages are sent, and when  <- topics.py, faults.py, computer.py, within budget.py
<- what is received: autopilot.py, timesync.py
open_link.py  opens a link (link.py)             <- udp.py, serial_line.py
"""

from __future__ import annotations

from edge_fer.publish import Sink
from edge_fer.settings import Settings


def open_sink(settings: Settings) -> Sink:
    """Start to send; see `edge_fer.publish.mavlink.sink.Mavlink`.

    Args:
        settings: the run's settings.
    """
    from edge_fer.publish.mavlink.sink import Mavlink

    return Mavlink(settings.publish.mavlink)


def validate(_: Settings) -> None:
    """Check whether pymavlink is installed.

    Raises:
        ConfigError: when it is not.
    """
    from edge_fer.publish.mavlink.sink import dialect

    dialect()


def check(settings: Settings) -> None:
    """Open the link once and send a heartbeat; see `edge_fer.publish.mavlink.sink.try_link`.

    Args:
        settings: the run's settings.
    """
    from edge_fer.publish.mavlink.sink import try_link

    try_link(settings.publish.mavlink)
