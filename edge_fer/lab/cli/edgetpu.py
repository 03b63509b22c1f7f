"""`edge-fer lab edgetpu-check`, `edgetpu-record` and `edgetpu-verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_fer.errors import ModelError
from edge_fer.lab.cli.options import MODEL_HELP, model_of

_MODELS = typer.Option(help="Folder with manifest.yaml; default: the models that edge-fer ships.", metavar="DIR")


def edgetpu_check(
    model: Annotated[str, typer.Argument(help="A .tflite file, or a model's name in the manifest.", metavar="MODEL")],
    models: Annotated[Path | None, _MODELS] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Check whether all of a model would run on an Edge TPU, what stops it, and how long it would take.

    In: a model before compilation. Out: the operator that would end the Edge TPU's part and why, the parameters
    against the chip's memory, and a predicted time with the errors of that prediction. No compiler and no device are
    needed; the compiler has the last word. Exit code 0 when nothing stays on the CPU, 1 when something does.

    Example: edge-fer lab edgetpu-check se_resnet50
    """
    from edge_fer.lab.edgetpu.check import check
    from edge_fer.lab.edgetpu.latency_model import predict
    from edge_fer.lab.edgetpu.report import as_record, as_text

    parts = _read(model, models)
    verdicts = [check(content) for content in parts.values()]
    predictions = [predict(verdict.cost) if verdict.mapped else () for verdict in verdicts]
    reports = list(zip(parts, verdicts, predictions, strict=True))
    if as_json:
        first, *others = (as_record(*report) for report in reports)
        typer.echo(json.dumps(first | {"region": others[0] if others else None}, indent=2))
    else:
        typer.echo("\n".join(as_text(*report) for report in reports))
        if len(reports) > 1:
            typer.echo("the runtime runs these two on the CPU, since it cuts out a region between them")
    if any(verdict.on_cpu for verdict in verdicts):
        raise typer.Exit(1)


def edgetpu_record(
    model: Annotated[str, typer.Argument(help="The model's name in the manifest.", metavar="MODEL")],
    compiled: Annotated[Path, typer.Option(help="What edgetpu_compiler wrote.", metavar="FILE")],
    log: Annotated[Path, typer.Option(help="What `edgetpu_compiler -s` printed.", metavar="FILE")],
    models: Annotated[Path | None, _MODELS] = None,
) -> None:
    """Keep a compiled model beside the model it was made from; deploy/compile_edgetpu.sh calls this.

    In: the compiled file and the compiler's log. Out: MODEL_edgetpu.tflite and its log in the folder, and its hash in
    the manifest. Refused when by the log an operator stays on the CPU, or that the chip keeps no parameters.

    Example: edge-fer lab edgetpu-record se_resnet50 --compiled se_resnet50_edgetpu.tflite --log compiler.log
    """
    from edge_fer.inference.model_store import packaged_folder
    from edge_fer.lab.edgetpu.compiler_log import record

    folder = models or packaged_folder()
    spec = record(folder, model, _content(compiled), _content(log).decode(errors="replace"))
    if spec.edgetpu is not None:
        typer.echo(f"{folder / spec.edgetpu.file}: {spec.edgetpu.compiler}, sha256 {spec.edgetpu.sha256}")


def edgetpu_verify(
    out: Annotated[Path, typer.Option(help="Folder for verify.csv and verify.json.", metavar="DIR")],
    backend: Annotated[str, typer.Option(help="The device: edgetpu, edgetpu:usb:0, ..., or cpu to try it out.")] = (
        "edgetpu"
    ),
    reference: Annotated[str, typer.Option(help="The device it is compared with.")] = "cpu",
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    models: Annotated[Path | None, _MODELS] = None,
    soak_minutes: Annotated[float, typer.Option(help="Length of the long run.", min=0)] = 30.0,
    faces: Annotated[int, typer.Option(help="Faces that are compared.", min=1)] = 64,
    timed: Annotated[int, typer.Option(help="Faces that are timed.", min=1)] = 200,
) -> None:
    """Compare a device with the CPU, time it, and run it for a long time; deploy/verify_board.sh calls this.

    Out: figures in verify.csv, as `edge-fer bench --save` writes them, and in verify.json what was verified and what
    was not. Exit code 1 when something was not as it should be.

    Example: edge-fer lab edgetpu-verify --out out/board --backend edgetpu
    """
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.edgetpu.verification_record import write_findings
    from edge_fer.lab.edgetpu.verify import Plan, verify

    store = ModelStore(models)
    plan = Plan(model_of(model, store), backend, reference, soak_minutes * 60, faces, timed)
    found = verify(plan, store, lambda text: typer.echo(text, err=True))
    write_findings(out, plan, store, found)
    for row in found.rows:
        typer.echo(f"{row.figure}: {row.value:g} {row.unit}")
    for sentence in found.not_done:
        typer.echo(f"not done: {sentence}")
    for sentence in found.failed:
        typer.echo(f"FAILED: {sentence}", err=True)
    if found.failed:
        raise typer.Exit(1)


def _read(model: str, folder: Path | None) -> dict[str, bytes]:
    """Content of a model, from a path or from the manifest, and perhaps of the one that says where it looks."""
    from edge_fer.inference.model_store import ModelStore

    path = Path(model)
    if path.suffix == ".tflite" or path.is_file():
        return {path.name: _content(path)}
    store = ModelStore(folder)
    spec = store.networks.get(model)
    if spec is None:
        known = ", ".join(sorted(store.networks))
        raise ModelError(f"expected a .tflite file or one of {known}, found `{model}`")
    parts = {model: store.load(model, spec.task)}
    region = store.read(spec.region) if spec.task == "classify" and spec.region else None
    return parts if region is None else {**parts, f"{model}.region": region}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"expected a file at {path}, found: {error.strerror}; give another") from error
