"""LiteRT files, written and read tensor by tensor."""
