"""The plain way: a loop over the frames of clips with the `fer` package, one clip after the other.

PYTHON tools/field/fer_loop.py CLIP... prints a line of JSON: frames, faces, seconds, and seconds of the processors.
PYTHON has fer (PyPI) and what it needs; nothing of edge-fer is used, and tools/field/archive_speed.py runs it.
"""

from __future__ import annotations

import json
import sys
import time


def main(clips: list[str]) -> None:
    """Read all clips."""
    import cv2
    from fer.fer import FER

    detector = FER(mtcnn=False)  # its default: OpenCV's cascade
    frames = faces = 0
    began, used = time.monotonic(), time.process_time()
    for clip in clips:
        film = cv2.VideoCapture(clip)
        while (read := film.read())[0]:
            frames, faces = frames + 1, faces + len(detector.detect_emotions(read[1]))
        film.release()
    seconds, processor_s = time.monotonic() - began, time.process_time() - used
    print(json.dumps({"frames": frames, "faces": faces, "seconds": seconds, "processor_s": round(processor_s, 1)}))


if __name__ == "__main__":
    main(sys.argv[1:])
