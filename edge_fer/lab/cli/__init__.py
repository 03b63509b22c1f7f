"""`edge-fer lab`: a file a command group."""
