"""What `picamera2_child.py` needs of libcamera's Python module."""


class Transform:
    def __init__(self, hflip=False, vflip=False):
        self.hflip, self.vflip = bool(hflip), bool(vflip)
