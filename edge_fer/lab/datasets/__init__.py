"""Labelled faces in the layouts in which their owners give them out, one file a layout.

A loader gives a `Dataset`; nothing after it depends on where the faces came from. torch is not needed here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edge_fer.errors import SourceError
from edge_fer.lab.datasets import affectnet, fer2013, ferplus, folders, rafdb
from edge_fer.lab.datasets.clips import load_clips
from edge_fer.lab.datasets.clips_record import read_clips_record
from edge_fer.lab.datasets.dataset import Dataset
from edge_fer.lab.datasets.tracks import tracks_of_clips

Layout = Literal["auto", "affectnet", "affectnet-automatic", "clips", "fer2013", "ferplus", "folders", "rafdb"]


def open_dataset(path: Path, layout: Layout = "auto") -> Dataset:
    """The faces at a path.

    Args:
        path: an .npz file, `fer2013.csv`, or a folder.
        layout: how they lie there; `auto` finds out. A named source whose own files are not there is read as
            class folders with that source's numbers.

    Raises:
        SourceError: when nothing is there, or a file does not fit the layout.
    """
    if not path.exists():
        raise SourceError(f"expected faces at {path}, found nothing; check the path")
    if path.is_file():
        return _open_file(path)
    if layout in ("auto", "fer2013", "ferplus") and (path / fer2013.TABLE).is_file():
        return fer2013.load_table(path / fer2013.TABLE)
    if layout == "clips" or (layout == "auto" and read_clips_record(path)):
        return tracks_of_clips(load_clips(path))
    if layout in ("auto", "rafdb") and rafdb.find_list(path):
        return rafdb.load_rafdb(path)
    if load_affectnet := affectnet.find_loader(path, layout):
        return load_affectnet(path)
    numbering = layout if layout in ("affectnet", "fer2013", "rafdb") else None
    return folders.load_folders(path, numbering)


def _open_file(path: Path) -> Dataset:
    match path.suffix.lower():
        case ".npz":
            return ferplus.load_npz(path)
        case ".csv":
            return fer2013.load_table(path)
    raise SourceError(f"expected an .npz file, {fer2013.TABLE} or a folder of faces, found {path}")
