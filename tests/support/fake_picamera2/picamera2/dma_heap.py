"""There is no DMA heap unless FAKE_PICAMERA2_HEAP names one."""

import os

heapNames = [os.environ.get("FAKE_PICAMERA2_HEAP", "/no/heap")]  # noqa: N816 (picamera2's name)
