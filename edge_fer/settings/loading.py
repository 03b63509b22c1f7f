"""Settings from a YAML file, the environment and flags; and back to YAML."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from edge_fer.common.secrets import keep_secrets_of
from edge_fer.common.text import first_problem, printable, shown
from edge_fer.common.yaml_text import YamlTextError, parse_yaml, read_text
from edge_fer.errors import ConfigError
from edge_fer.settings.settings import Settings

ENVIRONMENT_PREFIX = "EDGE_FER_"

_CLOSE = 0.75  # names less alike than this are no typing errors of each other


def load_settings(
    path: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Load settings from a YAML file, then the environment, then flags; later ones take priority.

    Args:
        path: the YAML file; None: no file.
        environment: variables such as `EDGE_FER_DETECT__MIN_FACE=60`, which sets `detect.min_face`; numbers and lists
            are written as in YAML.
        flags: dotted names and values, such as `{"detect.min_face": 60}`; a value of None sets nothing.

    Raises:
        ConfigError: when the file cannot be read, a key is unknown or a value is not valid.
    """
    content = _read_yaml(path) if path is not None else {}
    # A section whose keys are all commented out is null in YAML, and means its defaults.
    content = {name: {} if value is None and _is_section(name) else value for name, value in content.items()}
    variables = {_setting(variable): variable for variable in environment if variable.startswith(ENVIRONMENT_PREFIX)}
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    for name, variable in variables.items():
        _set(content, name, _value(name, environment[variable], variable))
    for name, value in given.items():
        _set(content, name, value)

    def origin(name: str) -> str:
        """Where a setting was found, for a message; nothing for a flag, which has just been typed."""
        if _within(name, given):
            return ""
        return next((variables[known] for known in variables if _within(name, [known])), printable(str(path or "")))

    return _validated(content, origin)


def changed_settings(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """A copy of settings with some of them changed.

    Args:
        settings: the settings; they are not changed.
        values: dotted names and new values, such as `{"detect.min_face": 60}`.

    Raises:
        ConfigError: when a key is unknown or a value is not valid.
    """
    content = settings.model_dump()
    for name, value in values.items():
        _set(content, name, value)
    return _validated(content)


def _validated(content: dict[str, Any], origin: Callable[[str], str] = lambda _: "") -> Settings:
    """Settings.

    Args:
        content: their values.
        origin: where a setting was found, given its dotted name; nothing where that is clear.

    Raises:
        ConfigError: when a key is unknown or a value is not valid.
    """
    keep_secrets_of(content)  # also those of a misspelt setting, which its message may quote
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        where, what = first_problem(error)
        problem = error.errors(include_url=False)[0]
        place = f"{found}: " if (found := origin(where)) else ""
    where = printable(where)
    if problem["type"] == "extra_forbidden":
        raise ConfigError(f"{place}unknown setting `{where}`{_nearest(where)}; see `edge-fer config show`")
    setting = f"{place}setting `{where}`: " if problem["loc"] else ""  # a conflict between two settings has no place
    raise ConfigError(f"{setting}{printable(what)}; see `edge-fer config show`")


def dump_settings(settings: Settings) -> str:
    """The settings as YAML with the meaning of each one, ready to be saved and edited."""
    lines: list[str] = []
    _dump_section(settings, lines, indent="")
    return "\n".join(lines) + "\n"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = parse_yaml(_read_text(path), path)
    except YamlTextError as error:
        raise ConfigError(str(error)) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"expected sections such as `capture:` in {path}, found a {type(content).__name__}")
    return content


def _read_text(path: Path) -> str:
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"expected a settings file at {path}, found: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"expected YAML text in {path}, found bytes that are no UTF-8 at {error.start}; save it as UTF-8"
        ) from error
    if not text and path.is_fifo():
        raise ConfigError(f"expected settings in {path}, found a pipe that has been read to its end; name a file")
    return text


def _setting(variable: str) -> str:
    """The dotted name of the setting that an environment variable sets."""
    return variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")


def _value(name: str, text: str, variable: str) -> Any:
    """The value of a setting, from the text of an environment variable."""
    if _is_text(name) or (_is_path(name) and text not in ("", "null")):
        return text
    try:
        return parse_yaml(text, variable)
    except YamlTextError as error:
        raise ConfigError(str(error)) from error


def _within(name: str, settings: Iterable[str]) -> bool:
    """Whether a setting is one of others, or in one of them that is a section or a list."""
    return any(f"{name}.".startswith(f"{other}.") for other in settings)


def _set(content: dict[str, Any], name: str, value: Any) -> None:
    *sections, key = name.split(".")
    for section in sections:
        inner = content.setdefault(section, {})
        if not isinstance(inner, dict):
            found = shown(inner)
            raise ConfigError(f"setting `{section}`: expected a section, found {found}; see `edge-fer config show`")
        content = inner
    content[key] = value


def _field(name: str) -> Any:
    """The annotation of a setting; None where there is no such setting."""
    section: Any = Settings
    for part in name.split("."):
        fields = getattr(section, "model_fields", {})
        section = fields[part].annotation if part in fields else None
    return section


def _is_section(name: str) -> bool:
    return hasattr(_field(name), "model_fields")


def _is_text(name: str) -> bool:
    """Whether a setting is free text, which is not read as YAML: `007` and `on` stay as they are."""
    return _field(name) in (str, str | None)


def _is_path(name: str) -> bool:
    """Whether a setting is the path of a file or folder, which may hold what YAML takes for signs of its own."""
    return bool(_field(name) == Path | None)


def _nearest(where: str) -> str:
    valid = _names(Settings)
    close = difflib.get_close_matches(where, valid, 1, _CLOSE) or difflib.get_close_matches(
        where.rpartition(".")[2], [name.rpartition(".")[2] for name in valid], 1, _CLOSE
    )
    if not close:
        return ""
    full = next(name for name in valid if name == close[0] or name.endswith(f".{close[0]}"))
    return f", did you mean `{full}`?"


def _names(section: type[BaseModel]) -> list[str]:
    names = []
    for name, field in section.model_fields.items():
        names.append(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names.extend(f"{name}.{inner}" for inner in _names(field.annotation))
    return names


def _dump_section(section: BaseModel, lines: list[str], indent: str) -> None:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            summary = (type(value).__doc__ or "").strip().splitlines()[0]
            lines.append(f"\n{indent}{name}:  # {summary}")
            _dump_section(value, lines, indent + "  ")
        else:
            plain = section.model_dump(mode="json", include={name})[name]
            text = yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix("...\n").strip()
            lines.append(f"{indent}{name}: {text}  # {field.description}")
