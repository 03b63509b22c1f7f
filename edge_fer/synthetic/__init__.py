"""Synthetic pictures whose faces are known."""
