"""YAML that people write, such as settings and manifests of networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from edge_fer.common.text import first_line

_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")  # a word, and `<<`, which merges an anchor's keys


class YamlTextError(ValueError):
    """A text that is not YAML, or not clear: one line with the file and the text's line."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that stands twice; YAML itself would silently take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _KEY_TAGS:
                raise yaml.MarkedYAMLError(problem="a name that is no plain word", problem_mark=key.start_mark)
            if key.value in seen:
                problem = f"`{key.value}` for the second time; put both together"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, path: Path) -> Any:
    """The content of a YAML text, whose keys must be words, each once.

    Args:
        text: the document.
        path: its file, for messages.

    Raises:
        YamlTextError: when it cannot be read.
    """
    try:
        return yaml.load(text, _UniqueKeyLoader)  # noqa: S506  a safe loader
    except (ValueError, RecursionError) as error:  # such as a date in a 13th month
        raise YamlTextError(f"expected YAML in {path}, found: {first_line(error)}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or first_line(error)
        raise YamlTextError(f"expected YAML in {where}, found: {problem}") from error
