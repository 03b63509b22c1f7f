"""Drawing on pictures: readings, and blurred faces."""
