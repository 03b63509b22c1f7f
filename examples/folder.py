"""The expressions of every face in a folder of pictures, as a table (CSV) on standard output.

python examples/folder.py photos/ > faces.csv
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import cv2
import numpy as np

from edge_fer import EdgeFer
from edge_fer.errors import EdgeFerError
from edge_fer.types import LABELS

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def main() -> None:
    """Read each picture for itself."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if not folder.is_dir():
        parser.error(f"expected a folder of pictures, found none at {folder}")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    table = csv.writer(sys.stdout)
    table.writerow(["picture", "x", "y", "width", "height", "label", "confidence", "why", *LABELS])
    with EdgeFer() as fer:
        for path in paths:
            image = cv2.imread(str(path))
            if image is None:
                print(f"{path} is no picture that OpenCV can read", file=sys.stderr)
                continue
            for face in fer.analyze(np.asarray(image, np.uint8)).faces:
                probabilities = [face.probabilities[label] for label in LABELS]
                table.writerow([path.name, *face.box, face.label, face.confidence, face.why, *probabilities])


if __name__ == "__main__":
    try:
        main()
    except EdgeFerError as error:
        sys.exit(str(error))
