"""YOLOv3-tiny: faces and their expressions in one pass over the picture, so that the cost is the same for any crowd."""
