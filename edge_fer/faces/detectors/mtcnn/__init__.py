"""MTCNN: P-Net, R-Net and O-Net, with the results of the `mtcnn` package 1.0.0 and in less time."""

from edge_fer.faces.detectors.mtcnn.detector import open_detector, open_landmarks
from edge_fer.faces.detectors.mtcnn.files import chosen_networks
from edge_fer.faces.detectors.mtcnn.follower import open_follower

__all__ = ["chosen_networks", "open_detector", "open_follower", "open_landmarks"]
