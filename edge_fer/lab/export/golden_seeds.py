"""Which golden faces a new classifier tells apart best, so that a device that repeats its last answer is found out."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from edge_fer.expression.golden_faces import golden_face
from edge_fer.inference.label_probabilities import softmax
from edge_fer.inference.manifest_parts import FailoverSpec
from edge_fer.lab.evaluation.logits import classify
from edge_fer.lab.export.job import Job
from edge_fer.lab.export.region import Views

_SEEDS = range(40)
"""Of the pictures that are tried: enough that networks with few opinions on patches find two that they read apart."""


def choose_golden_seeds(model: bytes, views: Views, job: Job, temperature: float) -> tuple[FailoverSpec, float]:
    """Have the INT8 classifier read many pictures, and choose the two it reads least alike.

    Args:
        model: the content of its .tflite file.
        views: what it sees of a face.
        job: the export.
        temperature: of its softmax.

    Returns:
        The entry of the manifest, and the largest difference of a probability between the two, 0..1.
    """
    faces = np.stack([golden_face(job.input, seed).image for seed in _SEEDS])
    logits = classify(model, views.after(faces), job.input, branch=job.branch)
    answers = [softmax(row / temperature) for row in logits]
    difference, *seeds = max(
        (float(np.abs(answers[one] - answers[other]).max()), one, other) for one, other in combinations(_SEEDS, 2)
    )
    return FailoverSpec(golden_seeds=tuple(seeds)), difference
