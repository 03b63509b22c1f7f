"""Pictures in which every face has a box and an expression, for training and measuring detectors.

`scenes` makes them of a data set's face crops; the other files read sets in the layouts of their owners. torch is not
needed here.
"""

from __future__ import annotations

from pathlib import Path

from edge_fer.errors import SourceError
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.detection import darknet, expw
from edge_fer.lab.datasets.detection.pictures import DetectionSet
from edge_fer.lab.datasets.detection.scene_set import SceneSource, open_scenes


def open_detection_set(path: Path, source: SceneSource) -> DetectionSet:
    """The pictures at a path.

    Args:
        path: a .data file of Darknet or a folder with one, ExpW's folder, or face crops as `open_dataset` takes them,
            of which scenes are made.
        source: what else scenes are made of.

    Raises:
        SourceError: when nothing is there, or a file does not fit its layout.
    """
    if not path.exists():
        raise SourceError(f"expected pictures or faces at {path}, found nothing; check the path")
    if path.suffix == ".data":
        return darknet.load_darknet(path)
    if path.is_dir() and (data := darknet.find_data_file(path)):
        return darknet.load_darknet(data)
    if path.is_dir() and (listed := expw.find_list(path)):
        return expw.load_expw(listed)
    return open_scenes(open_dataset(path), source)
