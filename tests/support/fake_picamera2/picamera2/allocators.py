"""Where buffers come from."""


class DmaAllocator:
    """That of every Pi."""


class LibcameraAllocator:
    def __init__(self, camera):
        self.camera = camera
