"""From the YAML document of a manifest to its records; what is wrong with it is one line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from edge_fer.errors import ModelError
from edge_fer.inference.manifest import (
    ClassifierSpec,
    EnsembleSpec,
    LandmarksSpec,
    Manifest,
    ModelSpec,
    MtcnnSpec,
    crop_difference,
)
from edge_fer.inference.manifest_aggregate import AggregateSpec
from edge_fer.inference.manifest_detect import DetectorSpec

_CLOSE = 0.75  # names less alike than this are no typing errors of each other

_EXPECTED = {
    "model_type": "expected names and values",
    "model_attributes_type": "expected names and values",
    "string_pattern_mismatch": "expected the name of a file",
    "tuple_type": "expected a list",
}
"""What should be in the place of a value of the wrong kind, by pydantic's names of errors."""


def parse_manifest(content: object, path: Path) -> Manifest:
    """Check what was read from a manifest.

    Args:
        content: the YAML document.
        path: the file, for messages.

    Raises:
        ModelError: when it is not what was expected; one line with the file, the entry and the field.
    """
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        problem: dict[str, Any] = dict(error.errors(include_url=False)[0])
        found = f"{_place(problem)}: {_complaint(problem)}"
    else:
        wrong = next(filter(None, (_misfit(name, manifest.models) for name in manifest.models)), None)
        if wrong is None:
            return manifest
        found = wrong
    raise ModelError(f"expected a model manifest in {path}, found {found}; see docs/bring-your-own-network.md")


def _misfit(name: str, models: Mapping[str, ModelSpec]) -> str | None:
    """What is wrong with the other entries that an entry names, if anything is."""
    spec = models[name]
    classifiers = {key: other for key, other in models.items() if isinstance(other, ClassifierSpec)}
    if isinstance(spec, EnsembleSpec):
        return _misfit_of_members(name, spec, classifiers)
    if isinstance(spec, AggregateSpec):
        return _misfit_of_aggregate(name, spec, models, classifiers)
    return None


def _misfit_of_members(name: str, spec: EnsembleSpec, classifiers: Mapping[str, ClassifierSpec]) -> str | None:
    where = f"in entry `{name}`, field `members`: expected"
    for member in spec.members:
        if member.name not in classifiers:
            return f"{where} classifiers of this folder ({', '.join(classifiers)}), not `{member.name}`"
    difference = crop_difference({member.name: classifiers[member.name].crop for member in spec.members})
    return difference and f"{where} {difference}"


def _misfit_of_aggregate(
    name: str, spec: AggregateSpec, models: Mapping[str, ModelSpec], classifiers: Mapping[str, ClassifierSpec]
) -> str | None:
    where = f"in entry `{name}`, field `of`: expected"
    classifier = classifiers.get(spec.of)
    if classifier is None or classifier.features is None:
        able = [key for key, other in classifiers.items() if other.features is not None]
        return f"{where} a classifier of this folder with `features` ({', '.join(able) or 'none'}), not `{spec.of}`"
    others = (key for key, other in models.items() if isinstance(other, AggregateSpec) and other.of == spec.of)
    twin = next((key for key in others if key != name), None)
    return twin and f"{where} one attention for each classifier, and `{twin}` is of `{spec.of}`, too"


def _place(problem: dict[str, Any]) -> str:
    """The entry and the field of a problem. Pydantic puts the task between the two, which is no part of the file."""
    first, *path = problem["loc"] or ("",)
    if first != "models" or not path:
        return f"at `{first}`" if first else "at the top level"
    entry, *fields = path
    fields = ["task"] if problem["type"].startswith("union_tag") else fields[1:]
    return f"in entry `{entry}`, field `{'.'.join(map(str, fields))}`" if fields else f"in entry `{entry}`"


def _complaint(problem: dict[str, Any]) -> str:
    """What is wrong, in a few words."""
    kind = problem["type"]
    if kind in ("missing", "union_tag_not_found"):
        return "it is missing"
    if kind == "extra_forbidden":
        *section, name = problem["loc"]
        close = difflib.get_close_matches(str(name), _fields(section), 1, _CLOSE)
        return f"there is no such field{f', did you mean `{close[0]}`?' if close else ''}"
    if kind == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ")
    found = problem["ctx"]["tag"] if kind == "union_tag_invalid" else problem["input"]
    return f"{_expected(problem)}, not {found!r}"


def _expected(problem: dict[str, Any]) -> str:
    """What should be in the place of a wrong value."""
    kind, message = problem["type"], problem["msg"]
    if problem["loc"][-1:] == ("sha256",):
        return "expected a SHA-256 of 64 lower-case hexadecimal digits, in quotes"
    if kind == "union_tag_invalid":
        return f"expected one of {problem['ctx']['expected_tags']}"
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind == "too_short":
        return f"expected at least {problem['ctx']['min_length']} values"
    return f"{message[0].lower()}{message[1:]}"


def _fields(section: list[str | int]) -> list[str]:
    """Names of the fields of a part of the manifest, for a place as pydantic gives it."""
    if not section:
        return list(Manifest.model_fields)
    _, _, task, *names = section
    records = {
        "aggregate": AggregateSpec,
        "classify": ClassifierSpec,
        "detect": DetectorSpec,
        "ensemble": EnsembleSpec,
        "landmarks": LandmarksSpec,
    }
    record: Any = records.get(str(task), MtcnnSpec)
    for name in names:
        annotation = record.model_fields[name].annotation
        record = next(kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields"))
    return list(record.model_fields)
