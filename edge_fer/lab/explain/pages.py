"""Explanations as pictures and as pages that need nothing but their own folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2
import numpy as np

from edge_fer.errors import ConfigError
from edge_fer.lab.explain.explanations import Explanation
from edge_fer.lab.files import replacing
from edge_fer.types import LABELS, Image, Label

INDEX, PICTURES = "index.html", "pictures"

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER, _INK, _WARNING = (255, 255, 255), (30, 30, 30), (0, 0, 170)  # BGR
_STRONGEST = 0.65  # how much of the face a full heat hides

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 1rem; }
main, nav { overflow-wrap: anywhere; }
nav a { display: inline-block; padding: .3rem .6rem .3rem 0; }
.faces { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; }
th, td { padding: .2rem .8rem .2rem 0; text-align: right; }
th:first-child, td:first-child { text-align: left; }
dt { font-weight: 600; }
dd { margin: 0 0 .5rem; }
.other { border-left: .3rem solid #c33; padding-left: .5rem; }
"""

_HOW = (
    "Each picture shows a face as the classifier gets it, and beside it which places raise the expression "
    "(Grad-CAM on the float network): the brighter a place, the more it does. Every map is scaled to its own "
    "maximum, so brightness does not compare between pictures, and a map is as coarse as the feature map it "
    "comes from. It shows what raised the answer, and neither that the answer is right nor what a person feels."
)


@dataclass(frozen=True, slots=True)
class Shown:
    """An explanation and where its picture lies.

    Attributes:
        explanation: the explanation that is shown.
        picture: path from the pages to it.
        size: width and height of it in pixels.
    """

    explanation: Explanation
    picture: str
    size: tuple[int, int]


def check_empty(folder: Path) -> None:
    """Make sure that no face of an earlier run is left between those of this one.

    Raises:
        ConfigError: when there is anything in the folder.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ConfigError(f"expected a new or empty folder for the pages, found {folder}; give another --out")


def write_pages(folder: Path, explanations: Iterable[Explanation], facts: Mapping[str, str]) -> list[Shown]:
    """Write a picture of each explanation, a page for each expression, and an index.

    Args:
        folder: the folder for all files.
        explanations: the explanations, in the order in which they are shown.
        facts: what was explained and how, for the index.

    Raises:
        OutputError: when the folder cannot be written.
    """
    shown = []
    for number, explanation in enumerate(explanations, 1):
        image = draw(explanation)
        name = f"{PICTURES}/{number:04}.png"
        with replacing(folder / name) as file:
            file.write(cv2.imencode(".png", image)[1].tobytes())
        shown.append(Shown(explanation, name, (image.shape[1], image.shape[0])))
    parts = {label: sections(label, shown) for label in LABELS}
    pages = {label: part for label, part in parts.items() if part}
    for label, part in pages.items():
        _write(folder / _page_name(label), label.capitalize(), _class_page(label, part, list(pages)))
    _write(folder / INDEX, "What the classifier's answers rest on", _index_page(shown, list(pages), facts))
    return shown


def draw(explanation: Explanation) -> Image:
    """The face, the same face with heat over it, and the answer below them.

    Returns:
        `(height, 2 * size, 3)` uint8, BGR.
    """
    face = explanation.subject.face
    face = np.asarray(cv2.cvtColor(face, cv2.COLOR_GRAY2BGR), np.uint8) if face.ndim == 2 else face
    colours = cv2.applyColorMap(np.round(explanation.heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = explanation.heat[..., None] * _STRONGEST
    heated = np.round(face * (1 - share) + colours * share).astype(np.uint8)
    pair = np.hstack([face, heated])
    return np.vstack([pair, _strip(explanation, pair.shape[1])])


def _strip(explanation: Explanation, width: int) -> Image:
    unit = width / 448
    strip = np.full((round(58 * unit), width, 3), _PAPER, np.uint8)
    lines = ((_answer(explanation), 0.62, _INK), (_remarks(explanation), 0.5, _WARNING))
    for row, (text, scale, colour) in enumerate(lines, 1):
        place = (round(6 * unit), round((25 * row - 3) * unit))
        cv2.putText(strip, text, place, _FONT, scale * unit, colour, max(round(unit), 1), cv2.LINE_AA)
    return strip


def _answer(explanation: Explanation) -> str:
    named = f"{explanation.expression.label} {explanation.expression.confidence:.0%}"
    truth = explanation.subject.truth
    return named if truth is None else f"{named}, labelled {truth}"


def _remarks(explanation: Explanation) -> str:
    remarks = []
    if explanation.float_label != explanation.expression.label:
        remarks.append(f"float32 names {explanation.float_label}")
    if explanation.explained != explanation.expression.label:
        remarks.append(f"heat is for {explanation.explained}")
    if not explanation.heat.any():
        remarks.append("no place raises it")
    return "; ".join(remarks)


def sections(label: Label, shown: Sequence[Shown]) -> dict[str, list[Shown]]:
    """What belongs on the page of an expression, by heading; headings without a face are left out."""
    labelled = [each for each in shown if _truth(each) == label]
    others = [each for each in shown if _truth(each) != label and _named(each) == label]
    parts = {
        "Hits": [each for each in labelled if _named(each) == label],
        "Misses: named otherwise": [each for each in labelled if _named(each) != label],
        f"Others that are named {label}": [each for each in others if _truth(each) is not None],
        f"Named {label}; no label is known": [each for each in others if _truth(each) is None],
    }
    return {heading: part for heading, part in parts.items() if part}


def _truth(shown: Shown) -> Label | None:
    return shown.explanation.subject.truth


def _named(shown: Shown) -> Label:
    return shown.explanation.expression.label


def _class_page(label: Label, parts: Mapping[str, Sequence[Shown]], pages: Sequence[Label]) -> str:
    body = "".join(
        f'<section><h2>{escape(heading)} ({len(part)})</h2><div class="faces">{"".join(map(_figure, part))}</div>'
        "</section>"
        for heading, part in parts.items()
    )
    return f"{_navigation(pages, label)}<main><h1>{label.capitalize()}</h1><p>{_HOW}</p>{body}</main>"


def _figure(shown: Shown) -> str:
    explanation = shown.explanation
    remarks = _remarks(explanation)
    answer = f"{_answer(explanation)}{f'; {remarks}' if remarks else ''}"
    alternative = f"A face, and the same face with heat over the places that raise {explanation.explained}. {answer}."
    other = ' class="other"' if remarks else ""
    return (
        f'<figure{other}><img src="{shown.picture}" width="{shown.size[0]}" height="{shown.size[1]}" loading="lazy" '
        f'alt="{escape(alternative)}"><figcaption>{escape(answer)}<br><small>{escape(explanation.subject.title)}</small>'
        "</figcaption></figure>"
    )


def _index_page(shown: Sequence[Shown], pages: Sequence[Label], facts: Mapping[str, str]) -> str:
    agree = sum(each.explanation.float_label == _named(each) for each in shown)
    known = dict(facts) | {"INT8 and float32 name the same": f"{agree} of {len(shown)} faces"}
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(value)}</dd>" for term, value in known.items())
    return (
        f"<main><h1>What the classifier's answers rest on</h1><p>{_HOW}</p>{_table(shown, pages)}<dl>{terms}</dl>"
        "<p>These pages hold pictures of faces: pass them on only as far as you may pass on the pictures.</p></main>"
    )


def _table(shown: Sequence[Shown], pages: Sequence[Label]) -> str:
    rows = []
    for label in pages:
        labelled = [each for each in shown if _truth(each) == label]
        hits = sum(_named(each) == label for each in labelled)
        named = sum(_named(each) == label for each in shown)
        counts = (len(labelled), hits, len(labelled) - hits, named)
        cells = "".join(f"<td>{count}</td>" for count in counts)
        rows.append(f'<tr><td><a href="{_page_name(label)}">{label}</a></td>{cells}</tr>')
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("expression", "labelled so", "hits", "misses", "named so")
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _navigation(pages: Sequence[Label], here: Label) -> str:
    links = [f'<a href="{INDEX}">all</a>']
    links += [
        f'<a href="{_page_name(label)}"{" aria-current=page" if label == here else ""}>{label}</a>' for label in pages
    ]
    return f"<nav>{' '.join(links)}</nav>"


def _page_name(label: Label) -> str:
    return f"{label}.html"


def _write(path: Path, title: str, body: str) -> None:
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )
    with replacing(path) as file:
        file.write(page.encode())
