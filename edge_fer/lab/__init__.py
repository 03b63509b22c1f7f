"""Offline tools: networks, training, quantization, evaluation. The runtime never imports this package."""
