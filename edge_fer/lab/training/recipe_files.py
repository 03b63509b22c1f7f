"""Recipes in YAML files: those that are shipped, and your own; changed by options of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from edge_fer.common.text import first_line, first_problem
from edge_fer.errors import ConfigError
from edge_fer.lab.training.detection_recipe import DetectionRecipe
from edge_fer.lab.training.recipe import Recipe, Section

_FOLDER = files("edge_fer.lab") / "recipes"
_CLASSIFIERS, _DETECTORS = ".", "detectors"  # folders in it

RecipeT = TypeVar("RecipeT", bound=Section)


def recipe_names() -> list[str]:
    """The recipes for classifiers that are shipped."""
    return _names(_CLASSIFIERS)


def detection_recipe_names() -> list[str]:
    """The recipes for detectors that are shipped."""
    return _names(_DETECTORS)


def _names(folder: str) -> list[str]:
    return sorted(
        entry.name.removesuffix(".yaml") for entry in (_FOLDER / folder).iterdir() if entry.name.endswith(".yaml")
    )


def load_recipe(recipe: str, changes: Sequence[str] = (), skip: Sequence[str] = ()) -> Recipe:
    """Read a recipe for a classifier.

    Args:
        recipe: name of one that is shipped, or path of a YAML file.
        changes: such as `seed=3` or `stages.fine.epochs=1`; values are YAML, stages go by their names.
        skip: names of stages to leave out.

    Raises:
        ConfigError: when it cannot be read, or a key, value or stage is not known.
    """
    content = _read(recipe, _CLASSIFIERS)
    for change in changes:
        _apply(content, change)
    for name in skip:
        stages = _stages(content)
        stages.pop(_find_stage(stages, name, f"--skip {name}"))
    return _validated(recipe, content, Recipe)


def load_detection_recipe(recipe: str, changes: Sequence[str] = ()) -> DetectionRecipe:
    """Read a recipe for a detector; see `load_recipe`.

    Raises:
        ConfigError: when it cannot be read, or a key or value is not known.
    """
    content = _read(recipe, _DETECTORS)
    for change in changes:
        _apply(content, change)
    return _validated(recipe, content, DetectionRecipe)


def _validated(recipe: str, content: dict[str, Any], kind: type[RecipeT]) -> RecipeT:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        where, what = first_problem(error)
        raise ConfigError(f"recipe {recipe}: `{where}`: {what}; see the recipes that are shipped") from error


def _read(recipe: str, folder: str) -> dict[str, Any]:
    path, known = Path(recipe), _names(folder)
    try:
        if recipe in known:
            text = (_FOLDER / folder / f"{recipe}.yaml").read_text(encoding="utf-8")
        elif path.suffix in (".yaml", ".yml"):
            text = path.read_text(encoding="utf-8")
        else:
            close = difflib.get_close_matches(recipe, known, n=1)
            hint = f", did you mean `{close[0]}`?" if close else ""
            raise ConfigError(f"expected a recipe ({', '.join(known)}, or a .yaml file), found {recipe}{hint}")
        content = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"expected a recipe at {recipe}, found: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected YAML in {recipe}, found: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"expected keys such as `stages:` in {recipe}, found a {type(content).__name__}")
    return {key: _own(value) for key, value in content.items()}


def _own(value: Any) -> Any:
    """A copy in which sections that YAML's aliases share are separate, so that one can be changed alone."""
    if isinstance(value, dict):
        return {key: _own(inner) for key, inner in value.items()}
    return [_own(inner) for inner in value] if isinstance(value, list) else value


def _apply(content: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    if not equals:
        raise ConfigError(f"expected --set KEY=VALUE, such as `seed=3`, found {change!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"expected a YAML value in --set {change}, found: {text!r}") from error
    *sections, key = name.split(".")
    inner: Any = content
    for section in sections:
        if isinstance(inner, list):
            inner = inner[_find_stage(inner, section, f"--set {change}")]
        elif isinstance(inner, dict):
            inner = inner.setdefault(section, {})
    if not isinstance(inner, dict):
        raise ConfigError(f"expected --set with a key inside a section, such as `stages.NAME.epochs=1`, found {change}")
    inner[key] = value


def _stages(content: Mapping[str, Any]) -> list[Any]:
    stages = content.get("stages")
    return stages if isinstance(stages, list) else []


def _find_stage(stages: list[Any], name: str, where: str) -> int:
    names = [stage.get("name") if isinstance(stage, dict) else None for stage in stages]
    if name not in names:
        raise ConfigError(f"expected a stage ({', '.join(map(str, names))}) in {where}, found `{name}`")
    return names.index(name)
