"""YOLOv3-tiny: faces and their expressions in one pass over the picture; between key frames, O-Net follows them."""

from edge_fer.faces.detectors.mtcnn.follower import open_follower
from edge_fer.faces.detectors.yolov3_tiny.detector import chosen_networks, open_detector, open_landmarks

__all__ = ["chosen_networks", "open_detector", "open_follower", "open_landmarks"]
