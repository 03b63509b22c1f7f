"""`edge-fer lab data` and `edge-fer lab train`."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from edge_fer.errors import ConfigError
from edge_fer.lab.cli.options import LAYOUT_HELP, layout_of
from edge_fer.lab.cli.runs import STOPPED, check_folder, device_of, keep_recipe, stop_on_signals
from edge_fer.lab.datasets.dataset import Colour, Dataset, Split
from edge_fer.lab.training.recipe_files import recipe_names

if TYPE_CHECKING:
    from edge_fer.lab.networks.base import Network
    from edge_fer.lab.training.distributed import Processes
    from edge_fer.lab.training.loop import Trainer
    from edge_fer.lab.training.recipe import Recipe
    from edge_fer.lab.training.state import Options
    from edge_fer.lab.training.teachers import Teachers


_STUDIED = 512
"""Training faces over which the features of teachers are measured."""
_RECIPES = ", ".join(recipe_names())


def train(
    recipe: Annotated[str, typer.Argument(help=f"{_RECIPES}, or a .yaml file; see docs/train-your-own.md.")],
    data: Annotated[
        list[str], typer.Option(help="PATH, or NAME=PATH for each data set that the recipe names.", metavar="SET")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default: out/train/RECIPE.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Start from these: a model's name or .tflite, an .npz, or keras-vggface's .h5.")
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            help="For recipes that have teachers: weights as above, several as A,B; NAME=A,B where there are several "
            "names of teachers.",
            metavar="WEIGHTS",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from its checkpoint; stages may be longer.")] = False,
    landmarks: Annotated[
        list[str] | None,
        typer.Option(
            help="For networks that read hand-made features, too: FILE, or NAME=FILE, from `edge-fer lab landmarks`.",
            metavar="FILE",
        ),
    ] = None,
    layout: Annotated[list[str] | None, typer.Option(help=f"LAYOUT, or NAME=LAYOUT: {LAYOUT_HELP}")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Change the recipe: KEY=VALUE, such as stages.full.epochs=2.")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Leave out a stage.", metavar="STAGE")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="Processor threads of the network; 0: torch's choice.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Threads that make batches ahead.")] = 1,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Pause between checkpoints.")] = 5.0,
    models: Annotated[
        Path | None,
        typer.Option(help="At the end, export best.npz into this folder as `edge-fer lab export` does.", metavar="DIR"),
    ] = None,
) -> None:
    """Train a network by a recipe. Ctrl-C ends with a checkpoint; --resume goes on as if nothing had happened.

    Example: edge-fer lab train finetune --weights se_resnet50 --data faces/

    The folder of the run gets best.npz and last.npz (for `edge-fer lab export --weights`), log.csv,
    curves.png, recipe.yaml and checkpoint.pt. With --models DIR, `edge-fer run --models DIR` runs the result.

    In several processes, on this machine or on many, each of which has the data: torchrun --nproc-per-node 2
    -m edge_fer.lab train ...; see docs/train-your-own.md. The first process has the folder of the run.
    """
    import torch

    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.training.checkpoint import BEST
    from edge_fer.lab.training.distributed import joined
    from edge_fer.lab.training.initial_weights import initial_model, initial_weights
    from edge_fer.lab.training.loop import Trainer
    from edge_fer.lab.training.recipe_files import load_recipe
    from edge_fer.lab.training.state import Options
    from edge_fer.lab.training.training_log import ConsoleTrainingReporter

    with joined() as processes:
        plan = load_recipe(recipe, change or (), skip or ())
        folder = out if out is not None else Path("out") / "train" / plan.name
        processes.from_first(lambda: check_folder(folder, resume=resume))
        if threads:
            torch.set_num_threads(threads)
        chosen_device = device_of(device)
        processes.use(chosen_device)
        _check_compiler(plan, chosen_device)
        plan = _where_it_is_fast(plan, chosen_device, processes)
        first = initial_weights(weights, plan)
        _check_landmarks(first.net, landmarks or [])
        _check_tracks(first.net, plan)
        faces = _last_faces(plan, data, layout or [])
        if models is not None:
            processes.from_first(lambda: _check_export(first.net, faces, models))
        teachers = _teachers(plan, teacher or [], first.net.colour)
        sets = _datasets(plan, data, layout or [], landmarks or [])
        _study(plan, teachers, sets)
        sizes = {name: group.feature_count for name, group in teachers.items()}
        model = initial_model(first, plan, sets, ConsoleReporter(), sizes)
        pause_s, stopping = checkpoint_minutes * 60, stop_on_signals()
        with ConsoleTrainingReporter() as reporter:
            if not first.trained and not resume:
                reporter.say("starting from random weights")
            options = Options(
                chosen_device, workers, pause_s, stopping=stopping, reporter=reporter, processes=processes
            )
            ended = _fit(Trainer(model, plan, sets, folder, options, teachers), plan, folder, options, resume=resume)
    if not ended:
        raise typer.Exit(STOPPED)
    if models is not None and processes.is_first:
        from edge_fer.lab.cli.export import export

        export(weights=folder / BEST, data=faces[0], layout=faces[1], out=models)


def _fit(trainer: Trainer, recipe: Recipe, folder: Path, options: Options, *, resume: bool) -> bool:
    """Train, or go on with it; gives whether the end was reached."""
    if resume:
        trainer.resume()
    options.processes.from_first(lambda: keep_recipe(folder, recipe))
    ended = trainer.fit()
    options.reporter.say(
        f"weights, log and curves are in {folder}" if ended else f"stopped; go on with --resume ({folder})"
    )
    return ended


def _last_faces(recipe: Recipe, data: list[str], layouts: list[str]) -> tuple[Path, str]:
    """The data set of the last stage and its layout, as `edge-fer lab export` takes them."""
    names, last = list(dict.fromkeys(stage.data for stage in recipe.stages)), recipe.stages[-1].data
    paths, kinds = _by_name(names, data), _by_name(names, layouts)
    return Path(_path_of(last, paths, recipe)), kinds.get(last, "auto")


def _check_export(net: Network, faces: tuple[Path, str], models: Path) -> None:
    """Refuse before hours of training what an export would refuse after them."""
    from edge_fer.inference.model_store import MANIFEST
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.export.job import Plan, check

    dataset = open_dataset(faces[0], layout_of(faces[1]))
    plan = Plan(landmarks=models if (models / MANIFEST).is_file() else None)
    check(net, dataset, dataset.only(Split.VALIDATION), plan)


def _check_landmarks(net: Network, landmarks: list[str]) -> None:
    from edge_fer.lab.networks.two_inputs import TwoInputs

    if isinstance(net, TwoInputs) and not landmarks:
        raise ConfigError(
            f"expected --landmarks for {net.name()}, which reads hand-made features of the face, too, found none; "
            "make the file with `edge-fer lab landmarks`"
        )
    if landmarks and not isinstance(net, TwoInputs):
        raise ConfigError(f"expected no --landmarks for {net.name()}, which reads the picture alone, found some")


def _check_tracks(net: Network, recipe: Recipe) -> None:
    from edge_fer.lab.networks.frame_attention import FrameAttentionNetwork

    stage = next((stage.name for stage in recipe.stages if stage.frames), None)
    if stage is not None and not isinstance(net, FrameAttentionNetwork):
        raise ConfigError(
            f"expected a network that reads tracks (fan, fan_self) for the stage {stage}, which has `frames`, found "
            f"{net.name()}; set stages.{stage}.frames=0, or start.network"
        )


def _where_it_is_fast(recipe: Recipe, device: str, processes: Processes) -> Recipe:
    """The recipe with bfloat16 only where that is fast, on the first machine; all compute alike."""
    from edge_fer.lab.console import ConsoleReporter

    if not recipe.bf16 or device != "cpu" or processes.from_first(_has_fast_bfloat16):
        return recipe
    ConsoleReporter().say("this processor has no fast bfloat16: training in float32")
    return recipe.model_copy(update={"bf16": False})


def _has_fast_bfloat16() -> bool:
    """Whether oneDNN has convolutions in bfloat16 here; without AVX-512, torch falls back to far slower ones."""
    import torch

    return platform.machine() not in ("x86_64", "AMD64") or "AVX512" in torch.backends.cpu.get_cpu_capability()


def _check_compiler(recipe: Recipe, device: str) -> None:
    compiler = os.environ.get("CXX", "g++")
    if recipe.compile and device == "cpu" and shutil.which(compiler) is None:
        raise ConfigError(
            f"expected a C++ compiler (`{compiler}`) for torch.compile, found none; install it or --set compile=false"
        )


def _datasets(recipe: Recipe, data: list[str], layouts: list[str], landmarks: list[str]) -> dict[str, Dataset]:
    """The data set of each name in the recipe; one that is named for all is opened once."""
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.landmarks import with_landmarks
    from edge_fer.lab.datasets.tracks import as_tracks

    names = list(dict.fromkeys(stage.data for stage in recipe.stages))
    paths, kinds, points = (_by_name(names, values) for values in (data, layouts, landmarks))
    wanted = {name: (Path(_path_of(name, paths, recipe)), layout_of(kinds.get(name, "auto"))) for name in names}
    opened = {place: open_dataset(*place) for place in set(wanted.values())}
    sets = {name: opened[place] for name, place in wanted.items()}
    sets |= {stage.data: as_tracks(sets[stage.data], recipe.seed) for stage in recipe.stages if stage.frames}
    return sets | {name: with_landmarks(sets[name], Path(file)) for name, file in points.items() if name in sets}


def _path_of(name: str, paths: dict[str, str], recipe: Recipe) -> str:
    """The path of a data set of the recipe."""
    if name not in paths:
        raise ConfigError(f"expected --data {name}=PATH for the recipe {recipe.name}, found none")
    return paths[name]


def _teachers(recipe: Recipe, values: list[str], colour: Colour) -> dict[str, Teachers]:
    """The teachers of each name in the recipe."""
    from edge_fer.lab.training.teachers import check_teachers, open_teachers

    files = _by_name(list(recipe.teachers), values) if recipe.teachers else dict.fromkeys(values, "")
    check_teachers(recipe, files)
    return {name: open_teachers(files[name], network, colour) for name, network in recipe.teachers.items()}


def _study(recipe: Recipe, teachers: dict[str, Teachers], sets: dict[str, Dataset]) -> None:
    """Let the teachers read some training faces, and report how many they name rightly."""
    from edge_fer.lab.console import ConsoleReporter

    reporter = ConsoleReporter()
    teachings = [(stage.data, stage.teacher) for stage in recipe.stages if stage.teacher]
    data = {teaching.name: name for name, teaching in teachings}
    for name, group in teachers.items():
        training = sets[data[name]].only(Split.TRAINING)
        faces = training.take(np.random.default_rng(0).permutation(len(training))[:_STUDIED])
        with reporter.step(f"features of the teachers `{name}`") as progress:
            right = group.study(faces, progress)
        if any(teaching.name == name and teaching.answers for _, teaching in teachings):
            reporter.say(f"teachers `{name}`: right on {right:.1%} of {len(faces)} training faces")


def _by_name(names: list[str], values: list[str]) -> dict[str, str]:
    """Options such as `clean=PATH`; one without a name is for every name that has none of its own."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if equals and name in names:
            found[name] = rest
        else:
            found = dict.fromkeys(names, value) | found
    return found
