"""`edge-fer lab faces`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def faces(
    photos: Annotated[
        Path,
        typer.Argument(
            help="A folder of class folders (happy/, sad/, ...), alone or in train/, valid/ and test/; RAF-DB's "
            "or AffectNet's own folder, too. Or FER+'s faces in an .npz file."
        ),
    ],
    out: Annotated[
        Path, typer.Argument(help="Where the faces go: a new folder, or one of an earlier run; an .npz file for one.")
    ],
    layout: Annotated[
        str, typer.Option(help="Whose numbers the class folders are named by: affectnet, fer2013 or rafdb.")
    ] = "auto",
    classifier: Annotated[
        str | None, typer.Option(help="Cut as this one takes faces; default: as `--model` of a run.")
    ] = None,
    detail: Annotated[
        int | None,
        typer.Option(min=16, help="Sample faces at so many pixels instead of as many as the classifier does."),
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder with manifest.yaml; default: the models that edge-fer ships.")
    ] = None,
) -> None:
    """Find the face in each labelled photo and cut it out as the classifier will see it.

    The runtime's own detector and alignment do it, so that training and
    deployment agree. Of several faces the largest counts; where none is found,
    a border is put around the photo and it is searched once more.

    OUT gets train/, valid/ and test/ with a folder for each expression and a
    grey PNG for each face; crops.json: how they were cut, and how many; and
    left_out.txt: every photo without a face, with a face that is too small to
    be found everywhere, that cannot be read, or outside the class folders. Photos that
    do not come in such folders are split by their file names: about a tenth of
    each expression to validate on, another to test on, always the same ones.

    An .npz file of FER+'s crops gives another with these as they are and, beside
    them, as the runtime finds, aligns and samples them; test faces are left out.

    Example: edge-fer lab faces photos/ faces/
    """
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.cli.options import layout_of, model_of
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.crop_faces import cut_faces
    from edge_fer.lab.datasets.recut import recut_file

    store = ModelStore(models)
    model = model_of(classifier, store)
    if photos.suffix == ".npz":
        recut_file(photos, out, store, model, detail, ConsoleReporter())
    else:
        cut_faces(open_dataset(photos, layout_of(layout)), photos, out, store, model, detail, ConsoleReporter())
