"""What the runtime makes of its networks, measured against the package and the plain pipeline."""
