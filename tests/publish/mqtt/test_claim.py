"""One run of this machine has a client id, and what the kernel refuses is not taken for another run."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from edge_fer.publish.mqtt.claim import Claim

PLACE = f"127.0.0.1:1883 {os.getpid()}"


def test_one_at_a_time_has_a_client_id() -> None:
    with Claim(PLACE, "drone") as first, Claim(PLACE, "drone") as second, Claim(PLACE, "other") as other:
        assert first.hold()
        assert first.hold()
        assert not second.hold()
        assert second.holder == os.getpid()
        assert other.hold()
        first.close()
        assert second.hold()


def test_what_the_kernel_refuses_is_not_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", Refused)
    with Claim(PLACE, "drone") as claim, pytest.raises(PermissionError):
        claim.hold()
