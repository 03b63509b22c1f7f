"""Small helpers that many packages share."""
