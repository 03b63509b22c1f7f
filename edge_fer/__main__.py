"""`edge-fer`, and `python -m edge_fer`."""

import sys


def main() -> None:
    """Run the command line, which takes a moment to load: Ctrl-C may come before it is there."""
    try:
        from edge_fer.cli import main as command_line

        command_line()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
