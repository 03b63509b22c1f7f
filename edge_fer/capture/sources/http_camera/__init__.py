"""Cameras on the network that speak HTTP: motion JPEG, and one picture a request."""
