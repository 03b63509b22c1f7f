"""`edge-fer`: arguments to settings, errors to exit codes.

Commands of other packages (the lab's) are found through the entry points `edge_fer.commands`
and loaded only when they are asked for, so that the runtime never pays for them.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from edge_fer import __version__
from edge_fer.cli.bench import HELP as BENCH_HELP
from edge_fer.cli.bench import bench
from edge_fer.cli.cameras import cameras
from edge_fer.cli.doctor import doctor
from edge_fer.errors import BackendError, ConfigError, EdgeFerError, ModelError
from edge_fer.inference.model_store import ModelStore
from edge_fer.publish import Sink
from edge_fer.publish.stdout import Stdout
from edge_fer.settings import Settings, dump_settings, load_settings


class _Commands(TyperGroup):
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


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Facial expressions from a camera: a label for every face, in every frame.",
)
config_app = typer.Typer(no_args_is_help=True, help="Show, check and describe the settings.")
models_app = typer.Typer(no_args_is_help=True, help="List and verify the networks.")
app.command(help=BENCH_HELP)(bench)
app.add_typer(config_app, name="config")
app.add_typer(models_app, name="models")
app.command()(doctor)
app.command()(cameras)

ModelFolder = Annotated[
    Path | None, typer.Option(help="Folder with manifest.yaml; default: the models that came along.", metavar="DIR")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Settings file (YAML).", metavar="FILE")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    """Show the version."""
    if version:
        _say(f"edge-fer {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: ConfigFile = None,
    camera: Annotated[
        str | None,
        typer.Option(
            help="Camera index, device path, `picamera2`, picture, video, folder, URL, `-`, `sample` or `synthetic:3`.",
            metavar="SOURCE",
        ),
    ] = None,
    clahe: Annotated[str | None, typer.Option(help="Raise local contrast first: off, on, or auto: when dark.")] = None,
    min_face: Annotated[int | None, typer.Option(help="Smallest face to find, pixels at detect.size.")] = None,
    backend: Annotated[
        str | None, typer.Option(help="Device: auto, edgetpu, edgetpu:usb:0, edgetpu:pci:0, cpu or fake.")
    ] = None,
    models: ModelFolder = None,
    model: Annotated[str | None, typer.Option(help="Classifier; see `edge-fer models list`.")] = None,
    realtime: Annotated[
        bool | None, typer.Option("--realtime", help="Pace a file like a camera, and drop what comes too late.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Write the annotated video here.", metavar="FILE")] = None,
    output_format: Annotated[
        str | None, typer.Option("--format", help="json, text or none; text on a terminal, JSON lines elsewhere.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="Of the log on stderr: auto, text, journal or json.")] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="End after so many readings, counted anew by each reload.", min=1)
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="End after so many seconds, counted anew by each reload.", min=0)
    ] = None,
) -> None:
    """Read expressions from a camera, a stream, a video or pictures until it ends or Ctrl-C."""
    flags = {
        "models": str(models) if models else None,
        "capture.source": camera,
        "capture.realtime": realtime,
        "enhance.clahe": clahe,
        "detect.min_face": min_face,
        "classify.backend": backend,
        "classify.model": model,
        "publish.record": str(record) if record else None,
        "publish.format": output_format,
        "log.format": log_format,
    }
    # Imported here, so that `--help` and `config` do not wait for OpenCV and the interpreter.
    from edge_fer.service import Service
    from edge_fer.status.logs import set_up_logs

    def load() -> Settings:
        return load_settings(config, flags=flags)

    settings = load()
    set_up_logs(settings.log.format)
    raise typer.Exit(Service(settings, load, _stdout_sinks, max_frames=max_frames, duration_s=duration).run())


def _stdout_sinks(settings: Settings, is_stopping: Callable[[], bool]) -> list[Sink]:
    """What goes to standard output: readings for a program or a person; or, to the log, what changes."""
    from edge_fer.publish.jsonl import JsonLines
    from edge_fer.publish.text import TextLine
    from edge_fer.status.logs import StatusLog

    stdout, form = Stdout(stopping=is_stopping), settings.publish.format
    if form == "none":
        return [StatusLog()]
    if form == "text" or (form == "auto" and stdout.is_terminal):
        return [TextLine(stdout.write, living=stdout.is_terminal)]
    return [JsonLines(stdout.write)]


@config_app.command("show")
def config_show(config: ConfigFile = None) -> None:
    """Print the settings in force, as YAML that can be saved, edited and given to --config."""
    _say(dump_settings(load_settings(config)).rstrip("\n"))


@config_app.command("check")
def config_check(config: ConfigFile = None) -> None:
    """Validate the settings and the networks they name, and try each sink once."""
    from edge_fer.publish.configured import check_sinks

    settings = load_settings(config)
    ModelStore(settings.models).load(settings.classify.model, "classify")
    _say("settings ok")
    errors = []
    for name, error in check_sinks(settings):
        _say(f"{name} {'ok' if error is None else error}")
        errors += [error] if error else []
    if errors:
        raise errors[0]


@config_app.command("schema")
def config_schema(
    records: Annotated[bool, typer.Option("--records", help="Of readings and statuses instead.")] = False,
) -> None:
    """Print the JSON Schema of the settings, or of what is published."""
    from edge_fer.schema import json_schema

    _say(json.dumps(json_schema() if records else Settings.model_json_schema(), indent=2))


@models_app.command("list")
def models_list(config: ConfigFile = None, models: ModelFolder = None) -> None:
    """List the networks, with what was measured of them."""
    for name, spec in _store(config, models).specs.items():
        _say(f"{name:16} {spec.task:9} {spec.summary}")


@models_app.command("verify")
def models_verify(config: ConfigFile = None, models: ModelFolder = None) -> None:
    """Compare every network with its hash, and every classifier with its manifest entry."""
    from edge_fer.expression.verify import verify_classifier

    store = _store(config, models)
    failures = []
    for name, spec in store.specs.items():
        try:
            sizes = [f"{len(store.read(file)) / 2**20:.1f} MiB {file.file}" for file in spec.files]
            if spec.task == "classify":
                verify_classifier(store, name)
            _say(f"{name:16} ok  {', '.join(sizes)}")
        except (ModelError, BackendError) as error:
            _say(f"{name:16} {error}")
            failures.append(name)
    if failures:
        raise ModelError(f"expected every network to be what the manifest says, found others: {', '.join(failures)}")


def _store(config: Path | None, models: Path | None) -> ModelStore:
    return ModelStore(load_settings(config, flags={"models": str(models) if models else None}).models)


def main() -> None:
    """Run the command line; an error becomes one line and an exit code."""
    try:
        app(standalone_mode=True)
    except EdgeFerError as error:
        _end(error)
    except ModuleNotFoundError as error:
        if not {*_plugins(), "bench"} & set(sys.argv[1:2]):
            raise
        _end(
            ConfigError(
                f"this needs the library `{error.name}`, which is not there; pip install '.[lab]' in its checkout"
            )
        )


def _say(text: str) -> None:
    Stdout().write(text + "\n")


def _end(error: EdgeFerError) -> None:
    log = logging.getLogger("edge_fer")
    if log.handlers:  # the run's own, with its format and priorities
        log.error("%s", error)
    else:
        with suppress(OSError):  # standard error may be closed or full; the exit code still tells
            print(f"edge-fer: {error}", file=sys.stderr)  # noqa: T201  a command line talks
    sys.exit(error.exit_code)
