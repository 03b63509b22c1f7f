"""From a picture to faces that are found, followed, measured and cut out."""
