"""`edge-fer config ...`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from edge_fer.cli.options import ConfigFile, say
from edge_fer.common.command_line import App
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import Settings, dump_settings, load_settings

app = App(
    no_args_is_help=True,
    help="Show, check and describe the settings.\n\nExample: edge-fer config show > settings.yaml",
)


@app.command()
def show(config: ConfigFile = None) -> None:
    """Print the settings in force, as YAML that can be saved, edited and given to --config.

    Example: edge-fer config show > settings.yaml
    """
    say(dump_settings(load_settings(config)).rstrip("\n"))


@app.command()
def check(config: ConfigFile = None) -> None:
    """Check the settings and the classifier that they name, and try each sink once.

    Example: edge-fer config check --config settings.yaml
    """
    from edge_fer.expression.verify import verify_expression_model
    from edge_fer.publish.configured import check_sinks

    settings = load_settings(config)
    verify_expression_model(ModelStore(settings.models), settings.classify.model)
    say("settings ok")
    errors = []
    for name, error in check_sinks(settings):
        say(f"{name} {'ok' if error is None else error}")
        errors += [error] if error else []
    if errors:
        raise errors[0]


@app.command()
def schema(
    records: Annotated[
        bool, typer.Option("--records", help="The schema of readings and statuses instead of the settings'.")
    ] = False,
) -> None:
    """Print the JSON Schema of the settings, or of the records that are published.

    Example: edge-fer config schema --records
    """
    from edge_fer.schema import json_schema

    say(json.dumps(json_schema() if records else Settings.model_json_schema(), indent=2))
