"""Weights from elsewhere, and into files."""
