"""MTCNN: P-Net, R-Net and O-Net, as the `mtcnn` package runs them, and quicker."""
