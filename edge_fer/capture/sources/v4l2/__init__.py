"""USB and other cameras of the kernel, through V4L2."""
