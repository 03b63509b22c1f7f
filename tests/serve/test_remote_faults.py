"""A few faces of `tools/field/remote_faults.py`: a server process that is killed, and a cable that breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.field import remote_faults
from tools.field.remote_faults import FAULTS, Trial, broken

DEADLINE_MS = 2000.0  # a busy machine must not fail it


@pytest.mark.slow
def test_faces_are_answered_whatever_happens_to_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_faults, "AWAY_FACES", 2)
    trial = Trial(tmp_path, DEADLINE_MS, seed=3)
    outcome = trial.run(faces=60, faults=len(FAULTS))
    assert set(outcome.injected) == set(FAULTS)
    assert not broken(outcome, 60, len(FAULTS), DEADLINE_MS)
