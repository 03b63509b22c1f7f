"""The expressions of every face in a folder of pictures, as a table (CSV) on standard output.

python examples/folder.py photos/ > faces.csv
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

import cv2
import numpy as np

from edge_fer import EdgeFer
from edge_fer.errors import EdgeFerError
from edge_fer.types import LABELS, Image

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def read_picture(path: Path) -> Image | None:
    """Decode a picture, rotated as its EXIF data say; None where it cannot be read.

    Unlike `cv2.imread`, this refuses a file that is cut short, and a file's name may be any bytes.
    """
    content = np.fromfile(path, np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None


def main() -> None:
    """Analyze one picture after the other."""
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
            name = os.fsencode(path.name).decode(errors="backslashreplace")  # the name may be any bytes
            image = read_picture(path)
            if image is None:
                print(f"expected a picture in {name}, found a file that cannot be decoded", file=sys.stderr)
                continue
            for face in fer.analyze(image).faces:
                probabilities = [face.probabilities[label] for label in LABELS]
                table.writerow([name, *face.box, face.label, face.confidence, face.why, *probabilities])


if __name__ == "__main__":
    try:
        main()
    except (EdgeFerError, OSError) as error:
        sys.exit(str(error))
