"""The project's own promises about itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_fer import errors
from tests.support import ROOT

PACKAGE = ROOT / "edge_fer"
CHECK = "from importlinter.cli import lint_imports_command as check; check()"
UPWARDS = "import edge_fer.pipeline\n"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"stray.py": ""}, "edge_fer.stray"),
        ({"common/low.py": UPWARDS}, "edge_fer.common is not allowed to import edge_fer.pipeline"),
        ({"expression/low.py": "import torch\n"}, "edge_fer is not allowed to import torch"),
        (
            {"common/one.py": "import edge_fer.common.two\n", "common/two.py": "import edge_fer.common.one\n"},
            "No circle between modules BROKEN",
        ),
    ],
    ids=["in no layer", "upwards", "torch", "circle"],
)
def test_the_check_of_imports_finds(files: dict[str, str], found: str, tmp_path: Path) -> None:
    pytest.importorskip("importlinter", reason="needs the extra `dev`")
    shutil.copytree(PACKAGE, tmp_path / "edge_fer", ignore=shutil.ignore_patterns("__pycache__", "assets"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path, content in files.items():
        (tmp_path / "edge_fer" / path).write_text(content)
    done = subprocess.run(
        [sys.executable, "-c", CHECK, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert found in " ".join(done.stdout.split())


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    assert errors.__doc__ is not None
    drawn = set(
        re.findall(r"\b([A-Z]\w+(?:Error|Lost|Refused|Closed|Crashed|Failed|Timeout))\b(?= \(|  |\n)", errors.__doc__)
    )
    real = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert drawn == real
