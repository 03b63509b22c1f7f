"""Every source's own numbering and naming of expressions, brought to `LABELS` once."""

from __future__ import annotations

from edge_fer.types import LABELS

NOT_OURS = -1
"""The label of what a source names but the seven expressions do not hold, such as contempt."""

FERPLUS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "not-a-face",
)
"""The columns of votes in `fer2013new.csv`, by their place."""

FER2013 = dict(enumerate(("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")))
"""The column `emotion` of `fer2013.csv`."""

RAFDB = dict(enumerate(("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"), 1))
"""The second column of `list_patition_label.txt`."""

AFFECTNET = dict(
    enumerate(
        (
            "neutral",
            "happiness",
            "sadness",
            "surprise",
            "fear",
            "disgust",
            "anger",
            "contempt",
            "none",
            "uncertain",
            "not-a-face",
        )
    )
)
"""The column `expression` of AffectNet's lists, and its `_exp.npy` files."""

EXPW = FER2013
"""The last field of a line of ExpW's `label.lst`."""

AFFWILD2 = dict(enumerate(("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")))
"""The lines of Aff-Wild2's annotations of seven expressions; -1 is a frame without one."""

NUMBERINGS = {"affectnet": AFFECTNET, "fer2013": FER2013, "rafdb": RAFDB}

_SYNONYMS = {
    "afraid": "fear",
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "scared": "fear",
    "surprised": "surprise",
}
_OTHERS = {"contempt", "contemptuous", "none", "not-a-face", "no-face", "nf", "uncertain", "unknown"}


def index_of(name: str) -> int:
    """Where an expression stands in `LABELS`, by any of its usual names.

    Returns:
        An index, or `NOT_OURS` for what is known to be none of the seven.

    Raises:
        KeyError: for a name that is not known.
    """
    plain = name.strip().lower().replace("_", "-").replace(" ", "-")
    plain = _SYNONYMS.get(plain, plain)
    if plain in LABELS:
        return LABELS.index(plain)
    if plain in _OTHERS:
        return NOT_OURS
    raise KeyError(name)
