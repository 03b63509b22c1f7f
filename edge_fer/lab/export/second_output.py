"""A classifier in a folder of models gets its features as a second output; all that was measured of it stays true."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.manifest_parts import FurtherOutput
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Reporter
from edge_fer.lab.model_folder import write_file
from edge_fer.lab.tflite.further_output import with_features

_SHORT = 16  # digits of a hash on a card
_RECORDS = ("*.json", "*.md")


def give_features(store: ModelStore, name: str, folder: Path, report: Reporter) -> ClassifierSpec:
    """Write a classifier's file with the features that its last layer reads behind its labels.

    Weights, operators and labels are the same bit for bit, so that its records and cards are of the new file, too:
    they get its hash.

    Args:
        store: the folder of models.
        name: the classifier's name in its manifest.
        folder: where changed files go, which are those of `store` otherwise.
        report: receives a line.

    Returns:
        Its entry, as it was where it has features already.

    Raises:
        ModelError: when its file is missing, corrupt, or its last layer is none that reads features.
        OutputError: when the folder cannot be written.
    """
    spec = store.spec(name, "classify")
    before = store.load(name, "classify")
    content, width = with_features(before)
    if content == before and spec.features is not None:
        return spec
    digest = hashlib.sha256(content).hexdigest()
    write_file(folder / spec.file, content)
    for pattern in _RECORDS:
        for path in store.folder.glob(pattern):
            text = path.read_text(encoding="utf-8")
            renamed = text.replace(spec.sha256, digest).replace(f"{spec.sha256[:_SHORT]}...", f"{digest[:_SHORT]}...")
            if renamed != text:
                write_file(folder / path.name, renamed.encode())
    again = "; compile it for the Edge TPU again, too" if spec.edgetpu else ""
    more = len(content) - len(before)
    report.say(f"{spec.file} gives its {width} features, too: {more} bytes more, labels as before{again}")
    changes = {"sha256": digest, "features": FurtherOutput(width=width), "edgetpu": None}
    return spec.model_copy(update=changes)
