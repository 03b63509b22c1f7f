"""Times of the link to a broker that no setting changes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """Times that no setting changes, seconds; tests hand in shorter ones.

    Attributes:
        flush_s: how long `Link.close` waits for what is still to be sent.
        leave_s: how long it then waits for the thread to disconnect.
        idle_s: the keep-alive is checked so often.
        steady_s: a link that has held for so long is opened again soon when it breaks; and a refusal that is so old is
            over.
        resend_s: a retained message that the broker has refused is sent again after so long.
        quiet_s: a broker that acknowledges nothing for so long is told.
        silent_s: a link on which nothing is acknowledged for so long is ended; None: twice the keep-alive.
    """

    flush_s: float = 2.0
    leave_s: float = 0.5
    idle_s: float = 1.0
    steady_s: float = 10.0
    resend_s: float = 5.0
    quiet_s: float = 5.0
    silent_s: float | None = None


DEFAULT_TIMES = LinkTimes()
