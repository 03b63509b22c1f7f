"""The Edge TPU, in a child process."""
