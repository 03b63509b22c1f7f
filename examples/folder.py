"""The expressions of every face in a folder of pictures, as a table (CSV) on standard output.

python examples/folder.py photos/ > faces.csv
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

from edge_fer import EdgeFer
from edge_fer.capture.sources.folder import SUFFIXES
from edge_fer.capture.sources.picture import read_picture
from edge_fer.errors import EdgeFerError, SourceError
from edge_fer.types import LABELS


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
            try:
                image = read_picture(path)  # turned upright; where `cv2.imread` gives half a picture, an error
            except SourceError as error:
                print(error, file=sys.stderr)
                continue
            name = os.fsencode(path.name).decode(errors="backslashreplace")  # it may be any bytes
            for face in fer.analyze(image).faces:
                probabilities = [face.probabilities[label] for label in LABELS]
                table.writerow([name, *face.box, face.label, face.confidence, face.why, *probabilities])


if __name__ == "__main__":
    try:
        main()
    except EdgeFerError as error:
        sys.exit(str(error))
