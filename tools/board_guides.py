"""What `edge-fer doctor` says in the board guides: `python -m tools.board_guides` writes it there anew.

In a guide, `<!-- doctor: NAME -->` stands before each block; `SCENES` says which box of `data/trees` that is, and what
is different about it. `<!-- doctor, troubles only: NAME -->` leaves out what is ok. `test_board_guides.py` compares.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from edge_fer.doctor import examine
from edge_fer.doctor.report import to_text
from edge_fer.inference.model_store import ModelStore
from tests.support.trees import lay_out

BLOCK = re.compile(r"<!-- doctor(, troubles only|): (.+?) -->\n```text\n.*?```", re.DOTALL)
GUIDES = Path(__file__).resolve().parents[1] / "deploy" / "boards"
MODELS = "/opt/edge-fer/current/lib/python3.11/site-packages/edge_fer/_models"

_NO_STICK: dict[str, Any] = {
    "files": {
        "sys/bus/usb/devices/2-1": None, "usr/lib/aarch64-linux-gnu": None, "var/lib/dpkg": None,
        "sys/class/video4linux/video1": None,
    },
}  # fmt: skip
_NO_CARD: dict[str, Any] = {
    "files": {
        "sys/class/apex/apex_0": None, "sys/bus/pci/devices/0000:01:00.0": None, "usr/lib/aarch64-linux-gnu": None,
        "var/lib/dpkg": None,
    },
}  # fmt: skip
_NO_PICAMERA2 = """echo "ModuleNotFoundError: No module named 'picamera2'" >&2; exit 1"""

_NEW_RUNTIME = {
    "user": "edge-fer", "groups": ["edge-fer", "video", "apex"],
    "packages": {
        "tflite-runtime": None, "ai-edge-litert": "2.3.0", "numpy": "2.2.6", "opencv-python-headless": "5.0.0",
    },
}  # fmt: skip
_NEW_LIBRARY = {
    "var/lib/dpkg": {
        "status": "Package: libedgetpu1-std\nStatus: install ok installed\nVersion: 16.0tf2.19.1-1.bookworm"
    }
}

SCENES: dict[str, tuple[str, dict[str, Any]]] = {
    "usb camera": ("pi4_stick", _NO_STICK),
    "usb camera of another group": ("pi4_stick", {**_NO_STICK, "host": {"groups": ["pi"]}}),
    "camera module": ("pi5_card", _NO_CARD),
    "camera module without picamera2": ("pi5_card", {**_NO_CARD, "programs": {"usr/bin/python3": _NO_PICAMERA2}}),
    "stick": ("pi4_stick", {}),
    "stick, everything wrong": ("broken_stick", {}),
    "dev board": ("dev_board", {"host": _NEW_RUNTIME, "files": _NEW_LIBRARY}),
    "dev board with Google's library": ("dev_board", {"host": _NEW_RUNTIME}),
}


def said(scene: str, *, only_troubles: bool) -> str:
    """What the doctor says of a box, its paths as on a board."""
    name, changes = SCENES[scene]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "box"
        findings = examine(lay_out(name, root, changes))
    shown = [finding for finding in findings if finding.level != "ok"] if only_troubles else findings
    lines = to_text(shown).replace(str(root), "").replace(str(ModelStore().folder), MODELS)
    return lines.rpartition("\n")[0] if only_troubles else lines


def fill(guide: str) -> str:
    """A guide with each block as it should be."""

    def block(match: re.Match[str]) -> str:
        only, scene = match.groups()
        return f"<!-- doctor{only}: {scene} -->\n```text\n{said(scene, only_troubles=bool(only))}\n```"

    return BLOCK.sub(block, guide)


if __name__ == "__main__":
    for path in GUIDES.glob("*.md"):
        path.write_text(fill(path.read_text()))
