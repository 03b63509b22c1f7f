"""How right a network is, and how sure one may be of that."""
