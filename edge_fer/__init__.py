"""Facial expressions from a camera, on drones and single-board computers, unattended."""

from importlib.metadata import version

__version__ = version("edge-fer")
