"""Serves pictures without a face as an endless MJPEG stream, the camera of tools/field/boot_guest.py.

Runs with the release's Python, which has OpenCV.
"""

from __future__ import annotations

import http.server
import sys
import time

import cv2
import numpy as np


def stream(port: int) -> None:
    """Serve at a port of this machine until killed."""
    # Stripes that move: noise has a face now and then.
    rows = [np.sin(np.arange(640) / 40 + step) * 100 + 128 for step in range(4)]
    pictures = [np.broadcast_to(row[None, :, None], (360, 640, 3)).astype(np.uint8) for row in rows]
    frames = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]

    class Stream(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Requests are nobody's business here."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            while True:
                for frame in frames:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(frame)}\r\n\r\n"
                    self.wfile.write(head.encode() + frame + b"\r\n")
                    time.sleep(0.1)

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Stream).serve_forever()


if __name__ == "__main__":
    stream(int(sys.argv[1]))
