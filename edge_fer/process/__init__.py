"""Supervised child processes for code that may crash or hang."""
