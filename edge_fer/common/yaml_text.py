"""YAML that people write, such as settings and manifests of networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from edge_fer.common.files import read_at_most
from edge_fer.common.text import first_line, printable

_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")  # a word, and `<<`, which merges an anchor's keys

_WORDS = {"timestamp", "binary", "set", "omap", "pairs"}  # of YAML 1.1's kinds of values, what settings do not have

_MAX_CHARACTERS = 2**17
_MAX_NODES = 20_000  # values and lists in the whole text, each as often as its anchor is named
_MAX_DIGITS = 100


class YamlTextError(ValueError):
    """A text that is not YAML, or not clear: one line with its place and the text's line."""


def _kind(tag: str | None) -> str:
    """The kind of value that a tag of YAML 1.1 stands for."""
    return (tag or "").rpartition(":")[2]


class _Loader(yaml.SafeLoader):
    """Refuses what nobody means: a key that stands twice, a number without end, anchors that multiply.

    Dates and `12:30` are words, as in YAML 1.2: a device may be named so.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  as PyYAML has it
        first: [(tag, pattern) for tag, pattern in pairs if _kind(tag) not in _WORDS]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012
        tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if _kind(tag) not in _WORDS
    }

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _count(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _KEY_TAGS:
                raise yaml.MarkedYAMLError(problem="a name that is no plain word", problem_mark=key.start_mark)
            if key.value in seen:
                problem = f"`{printable(key.value)}` for the second time; put both together"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float | str:
        if ":" in node.value:
            return str(node.value)
        if len(node.value) > _MAX_DIGITS:
            problem = f"a number of {len(node.value)} digits"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        make = self.construct_yaml_int if _kind(node.tag) == "int" else self.construct_yaml_float
        number: int | float = make(node)
        return number


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_number)


def _count(node: yaml.Node, counted: dict[yaml.Node, int]) -> int:
    """How many nodes a node stands for: its own, and those of each anchor as often as it is named.

    Args:
        node: the node.
        counted: what was counted before; 0 while it is being counted, as where an anchor stands within itself.
    """
    if node in counted:
        return counted[node] or _MAX_NODES + 1
    counted[node] = 0
    parts = node.value if isinstance(node, yaml.CollectionNode) else ()
    inner = [each for part in parts for each in (part if isinstance(part, tuple) else (part,))]
    total = 1 + sum(_count(each, counted) for each in inner)
    if total > _MAX_NODES:
        raise yaml.MarkedYAMLError(problem=f"more than {_MAX_NODES} values", problem_mark=node.start_mark)
    counted[node] = total
    return total


def read_text(path: Path) -> str:
    """The text of a file that people write, and no more than that of a device that has no end.

    Raises:
        OSError: when it cannot be read.
        UnicodeDecodeError: when it is no UTF-8.
        YamlTextError: when it is too long.
    """
    content = read_at_most(path, _MAX_CHARACTERS + 1)
    if len(content) > _MAX_CHARACTERS:
        raise YamlTextError(f"expected at most {_MAX_CHARACTERS} bytes in {printable(str(path))}, found more")
    return content.decode("utf-8-sig")


def parse_yaml(text: str, where: Path | str) -> Any:
    """The content of a YAML text, whose keys must be words, each once.

    Args:
        text: the document.
        where: its file, or another place where it stands, for messages.

    Raises:
        YamlTextError: when it cannot be read.
    """
    place = printable(str(where))
    if len(text) > _MAX_CHARACTERS:
        raise YamlTextError(f"expected at most {_MAX_CHARACTERS} characters in {place}, found {len(text)}")
    try:
        return yaml.load(text, _Loader)  # noqa: S506  a safe loader
    except RecursionError as error:
        raise YamlTextError(f"expected YAML in {place}, found lists within lists without end") from error
    except (ValueError, LookupError) as error:  # such as !!int of a word, or !!bool of nothing
        raise YamlTextError(f"expected YAML in {place}, found: {printable(first_line(error))}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{place}, line {mark.line + 1}" if mark else place
        problem = getattr(error, "problem", None) or first_line(error)
        raise YamlTextError(f"expected YAML in {line}, found: {printable(problem)}") from error
