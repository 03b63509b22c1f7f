"""Connections whose clients have not shown yet that they may be here."""

from __future__ import annotations

from collections.abc import Callable


class UnauthenticatedConnections:
    """Connections whose clients have not shown the token, bounded for each address.

    When an address has too many, its oldest ones are closed: so a client that opens many connections and sends nothing
    locks nobody out, not even another client at its own address. Used in the server's thread; `closed` is read in any.

    Args:
        limit: connections of one address.

    Attributes:
        closed: connections that were closed for newer ones.
    """

    def __init__(self, limit: float) -> None:
        self.closed = 0
        self._limit = limit
        self._open: dict[str, dict[int, Callable[[], None]]] = {}  # by address and port, oldest first

    def add(self, client: tuple[str, int], close: Callable[[], None]) -> None:
        """Note a new connection.

        Args:
            client: address and port.
            close: closes the connection.
        """
        address, port = client
        self._open.setdefault(address, {})[port] = close

    def close_excess(self, address: str) -> None:
        """Close the oldest connections of an address until no more than the limit are left."""
        connections = self._open.get(address, {})
        while len(connections) > self._limit:
            self.closed += 1
            connections.pop(next(iter(connections)))()

    def discard(self, client: tuple[str, int]) -> None:
        """Forget a connection that has ended, or whose client has shown the token."""
        address, port = client
        connections = self._open.get(address, {})
        connections.pop(port, None)
        if not connections:
            self._open.pop(address, None)
