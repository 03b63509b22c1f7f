"""The project's own promises about itself."""

from __future__ import annotations

import re
import sys

if sys.version_info >= (3, 11):
    pass
else:
    pass

import pytest

from edge_fer import errors
from tests.support import ROOT

PACKAGE = ROOT / "edge_fer"


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"\b([A-Z]\w+(?:Error|Lost|Closed|Crashed|Failed|Timeout))\b(?= \(|  |\n)", errors.__doc__))
    real = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert drawn == real


def test_the_readme_documents_every_exit_code() -> None:
    text = (ROOT / "README.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d+) \| ", text, re.MULTILINE)}
    raised = {value.exit_code for value in vars(errors).values() if isinstance(value, type)}
    assert raised <= documented


@pytest.mark.parametrize("word", ["sample.mp4", "edge-fer run --camera 0", "make demo", "make test"])
def test_the_readme_names_the_commands(word: str) -> None:
    assert word in (ROOT / "README.md").read_text()
