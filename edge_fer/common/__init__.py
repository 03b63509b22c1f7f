"""Small things that many rooms share."""
