"""Child processes that may crash or hang, and their supervision."""
