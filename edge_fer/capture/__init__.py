"""From a camera to the newest frame. Light to import: child processes of cameras do."""
