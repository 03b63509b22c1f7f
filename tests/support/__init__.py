"""What tests share: records, waiting, and brokers, peers, cameras and devices that misbehave on demand."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
