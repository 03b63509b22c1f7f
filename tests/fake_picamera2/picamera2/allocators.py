"""Buffers: there is no DMA heap unless FAKE_PICAMERA2_HEAP says so."""

import os


class DmaAllocator:
    def __init__(self):
        if not os.environ.get("FAKE_PICAMERA2_HEAP"):
            raise RuntimeError("Could not open any dmaHeap device")


class LibcameraAllocator:
    def __init__(self, camera):
        self.camera = camera
