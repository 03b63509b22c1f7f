"""From answers and labels to the records of an evaluation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge_fer.lab.evaluation.contenders import Answers
from edge_fer.lab.evaluation.metrics import (
    Labels,
    Logits,
    Score,
    agreement,
    brier,
    calibration_error,
    confusion,
    log_probabilities,
    negative_log_likelihood,
    paired_difference,
    reliability,
    score_of,
    wilson,
)
from edge_fer.lab.evaluation.record import (
    Bin,
    Calibration,
    ClassResult,
    Comparison,
    EightClass,
    Estimate,
    Latency,
    Measured,
)
from edge_fer.types import LABELS

_DIGITS = 6


def describe(
    answers: Answers, labels: Labels, temperature: float, threads: int, *, pasted: bool, contempt: int | None
) -> Measured:
    """What one model is worth.

    Args:
        answers: its own.
        labels: `(n,)`, of the same faces.
        temperature: the model's temperature.
        threads: processor threads that it ran on.
        pasted: whether faces had to be found first.
        contempt: faces of the same split that are led by contempt; None where that is not known.
    """
    named, found = answers.named, answers.found
    right = named == labels
    matrix = confusion(named, labels)
    score = score_of(matrix)
    known, theirs = answers.logits[found], labels[found]
    return Measured(
        faces=len(labels),
        missed=int((~found).sum()),
        accuracy=share(right),
        miss_rate=share(~found) if pasted else None,
        accuracy_of_found=share(right[found]) if pasted else None,
        balanced_accuracy=_rounded(float(np.nanmean(score.recall))),
        recall_deviation=_rounded(score.recall_deviation),
        macro_f1=_rounded(float(np.nanmean(score.f1))),
        per_class=_per_class(score),
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        before=_calibration(known, theirs, 1.0),
        after=_calibration(known, theirs, temperature),
        latency=latency_of(answers.seconds, threads),
        eight_class=None if contempt is None else _eight_class(right, contempt),
    )


def latency_of(seconds: NDArray[np.float64], threads: int) -> Latency:
    """Percentiles of the durations of classifications, `(n,)`, seconds."""
    p50, p95 = np.percentile(seconds * 1000, [50, 95])
    return Latency(threads=threads, p50_ms=round(float(p50), 2), p95_ms=round(float(p95), 2))


def compare(model: Answers, against: Answers, labels: Labels) -> Comparison:
    """Two models on the same faces."""
    right, theirs = model.named == labels, against.named == labels
    both = model.found & against.found
    return Comparison(
        agreement=_rounded(agreement(model.logits[both], against.logits[both])),
        only_model=int((right & ~theirs).sum()),
        only_against=int((~right & theirs).sum()),
        difference=paired_estimate(right, theirs),
    )


def share(right: NDArray[np.bool_]) -> Estimate:
    """The part that is true, with its interval; see `wilson`."""
    low, high = wilson(int(right.sum()), len(right))
    return Estimate(value=_rounded(float(right.mean())), low=_rounded(low), high=_rounded(high))


def paired_estimate(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Estimate:
    """How far two shares of the same faces are apart, with the interval; see `paired_difference`."""
    difference, (low, high) = paired_difference(first, second)
    return Estimate(value=_rounded(difference), low=_rounded(low), high=_rounded(high))


def _eight_class(right: NDArray[np.bool_], contempt: int) -> EightClass:
    with_contempt = np.concatenate([right, np.zeros(contempt, bool)])
    return EightClass(faces=len(with_contempt), contempt=contempt, accuracy=share(with_contempt))


def _per_class(score: Score) -> tuple[ClassResult, ...]:
    columns = zip(LABELS, score.counts, score.precision, score.recall, score.f1, strict=True)
    return tuple(
        ClassResult(label=label, faces=faces, precision=_known(precision), recall=_known(recall), f1=_known(f1))
        for label, faces, precision, recall, f1 in columns
    )


def _calibration(logits: Logits, labels: Labels, temperature: float) -> Calibration:
    probabilities = np.exp(log_probabilities(logits, temperature))
    bins = reliability(probabilities, labels)
    return Calibration(
        temperature=temperature,
        ece=_rounded(calibration_error(bins)),
        nll=_rounded(negative_log_likelihood(logits, labels, temperature)),
        brier=_rounded(brier(probabilities, labels)),
        bins=tuple(
            Bin(faces=part.faces, confidence=_rounded(part.confidence), accuracy=_rounded(part.accuracy))
            for part in bins
        ),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else _rounded(value)


def _rounded(value: float) -> float:
    return round(value, _DIGITS)
