"""How the run is: rates, health, and who is told of it."""
