"""What an Edge TPU makes of a network: rules, predicted times, proofs on the device."""
