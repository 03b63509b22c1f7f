"""What the camera has seen, with the faces drawn in or without: as films, or each picture by itself.

sink.py       the sink: draws, and keeps to the bounds
films.py      one film after the other    <- film.py: one film, through PyAV; timeline.py: when a picture is shown
pictures.py   pictures, one after the other
new_file.py   makes files that no other program has, and locks them
bounds.py     deletes the oldest
provenance.py what a film says of itself
"""

from __future__ import annotations

from contextlib import ExitStack

from edge_fer.publish.drawing.face_hider import open_hider
from edge_fer.publish.recording.sink import Recording
from edge_fer.settings import Settings


def open_sink(settings: Settings) -> Recording:
    """Open the recording that the settings name; see `edge_fer.publish.recording.sink.Recording`.

    Args:
        settings: the run's settings.
    """
    with ExitStack() as stack:
        hider = open_hider(settings)
        stack.callback(hider.close)
        recording = Recording(settings.publish, hider=hider)
        stack.pop_all()
    return recording


def validate(settings: Settings) -> None:
    """Check whether the recording that the settings name can be written, and leave nothing behind.

    Args:
        settings: the run's settings.

    Raises:
        ConfigError: when a library is missing.
        OutputError: when it cannot be written.
    """
    Recording(settings.publish).close()


check = validate
