"""`edge-fer`: the command line, and how an error becomes one line and an exit code.

Commands of other packages (the lab's) are found through the entry points `edge_fer.commands` and loaded only when
they are asked for, so that the runtime never waits for them.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from contextlib import suppress
from importlib.metadata import entry_points
from types import TracebackType
from typing import Annotated, Any

import typer

from edge_fer import __version__
from edge_fer.cli import config, models
from edge_fer.cli.bench import HELP as BENCH_HELP
from edge_fer.cli.bench import bench
from edge_fer.cli.cameras import cameras
from edge_fer.cli.doctor import doctor
from edge_fer.cli.label import label
from edge_fer.cli.options import say
from edge_fer.cli.run import run
from edge_fer.cli.serve import serve
from edge_fer.common.command_line import App, CameraCommand, Group
from edge_fer.common.secrets import hide_secrets
from edge_fer.common.text import redact
from edge_fer.errors import ConfigError, EdgeFerError, OutputError

HELP = (
    "Facial expressions from a camera: a label for every face, in every frame.\n\n"
    "Example: edge-fer run --camera sample\n\n"
    "Every command explains itself with --help."
)

_FULL = {errno.ENOSPC, errno.EIO, errno.EDQUOT}  # what a standard output that takes no more fails with


class _Commands(Group):
    """The runtime's commands, and those that other packages add."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_plugins()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in _plugins():
            return own
        command = typer.main.get_command(_plugins()[cmd_name].load())
        command.name = cmd_name
        return command


def _plugins() -> dict[str, Any]:
    return {entry.name: entry for entry in entry_points(group="edge_fer.commands")}


app = App(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False, help=HELP)
app.command(cls=CameraCommand)(run)
app.command()(serve)
app.command()(label)
app.command()(cameras)
app.command()(doctor)
app.command(help=BENCH_HELP, cls=CameraCommand)(bench)
app.add_typer(config.app, name="config")
app.add_typer(models.app, name="models")


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    """Show the version."""
    if version:
        say(f"edge-fer {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an error becomes one line and an exit code."""
    sys.excepthook = _print_safely
    try:
        app(standalone_mode=True)
    except EdgeFerError as error:
        _end(error)
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        _drop_output()
        _end(OutputError(f"expected standard output to take the text, found: {error.strerror}"))
    except ModuleNotFoundError as error:
        if not {*_plugins(), "bench"} & set(sys.argv[1:2]):
            raise
        _end(
            ConfigError(
                f"this needs the library `{error.name}`, which is not there; pip install '.[lab]' in its checkout"
            )
        )


def _print_safely(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print what ended the program unexpectedly, as Python does, but without secrets."""
    print(hide_secrets("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)  # noqa: T201


def _drop_output() -> None:
    """What standard output has not taken yet goes nowhere: else Python tries again at its end, and exits with 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _end(error: EdgeFerError) -> None:
    log = logging.getLogger("edge_fer")
    if log.handlers:  # the run's own, with its format and priorities
        log.error("%s", redact(str(error)))
    else:
        with suppress(OSError):  # standard error may be closed or full; the exit code still tells
            print(f"edge-fer: {redact(str(error))}", file=sys.stderr)  # noqa: T201  a command line talks
    sys.exit(error.exit_code)
