"""Pictures made to order, with known faces."""
