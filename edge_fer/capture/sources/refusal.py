"""In the child process of a camera: the camera does not let this user in."""

from __future__ import annotations


class LoginRefused(OSError):
    """A camera refuses the user or the password.

    Attributes:
        refused: tells the parent (`edge_fer.process.child`), which raises `WorkerRefused`.
    """

    refused = True
