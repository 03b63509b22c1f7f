"""An ensemble on two Edge TPUs that crash, hang and go away: no face is lost, and none is read wrongly.

    python -m tools.field.ensemble_faults [--faces 600] [--every 40] [--seed 1]

Every answer must be that of the whole ensemble or of one member alone, as the CPU gives it, and say so in its origin;
after the last fault the whole ensemble must read again. The library in the child processes is the fake one.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_fer.expression import ExpressionModel
from edge_fer.expression.ensemble import Ensemble
from edge_fer.expression.open_model import open_expression_model
from edge_fer.expression.preprocessing import fit
from edge_fer.inference.edgetpu.backend import EdgeTpuBackend
from edge_fer.settings import ClassifySettings
from edge_fer.types import AlignedFace, Expression
from tests.support.fake_edgetpu import ENSEMBLE, FakeEdgeTpu, library, twin_store

SIGNALS = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}
FAULTS = ("error", "abort", "segfault", "hang", *SIGNALS, "both killed")
BACK_S = 60.0
NEAR = 1e-9
SIDE = 56


@dataclass
class Result:
    """What happened.

    Attributes:
        faults: how often each fault was caused.
        answers: how many faces each model read, and whether that was degraded.
        wrong: faces whose answer is nobody's, or another one's than its origin says.
        is_back: whether the whole ensemble read again in the end.
    """

    faults: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: int = 0
    is_back: bool = False


def cause(kind: str, member: int, ensemble: Ensemble, tpu: FakeEdgeTpu) -> None:
    """Cause a fault; a signal to a device that is away already reaches nobody."""
    if kind in FAULTS[:4]:
        tpu.fail("infer", kind, 10_000)
        return
    for device in ensemble.devices if kind == "both killed" else [ensemble.devices[member]]:
        backend = device._backend
        if isinstance(backend, EdgeTpuBackend) and backend.pid is not None:
            os.kill(backend.pid, SIGNALS.get(kind, signal.SIGKILL))


def is_right(expression: Expression, face: AlignedFace, alone: dict[str, ExpressionModel]) -> bool:
    """Whether an answer is that of the model which its origin names."""
    model = alone[expression.origin.model] if expression.origin else alone[ENSEMBLE]
    expected = model.classify(fit(face, model.size, colour=model.colour))
    pairs = zip(expression.probabilities, expected.probabilities, strict=True)
    return max(abs(one - other) for one, other in pairs) < NEAR


def run(faces: int, every: int, seed: int) -> Result:
    """Read faces, with a fault at every so many of them."""
    result, rng = Result(), random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = twin_store(folder, ensemble=True)
        tpu = stack.enter_context(FakeEdgeTpu(folder / "tpu", ["2-1", "2-2"]).present())
        settings = ClassifySettings(
            model=ENSEMBLE, backend="edgetpu", edgetpu_library=str(library()), sysfs=tpu.sysfs, dev=tpu.dev,
            deadline_ms=300, retry_s=0.05, retry_max_s=0.3, park_s=0.5, check_every=10,
        )  # fmt: skip
        alone = {
            name: stack.enter_context(open_expression_model(ClassifySettings(model=name, backend="cpu"), store))
            for name in (ENSEMBLE, "se_resnet50", "lite")
        }
        ensemble = stack.enter_context(open_expression_model(settings, store))
        assert isinstance(ensemble, Ensemble)
        for number in range(faces):
            if number % every == every - 1:
                kind = rng.choice(FAULTS)
                result.faults[kind] += 1
                cause(kind, rng.randrange(2), ensemble, tpu)
            pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
            face = AlignedFace.of_crop(pixels)
            expression = ensemble.classify(face)
            origin = expression.origin or ensemble.origin
            result.answers[origin.model, "degraded" if origin.reason else "whole"] += 1
            result.wrong += not is_right(expression, face, alone)
            time.sleep(rng.choice((0.005, 0.01, 0.05)))
        tpu.recover()
        end = time.monotonic() + BACK_S
        while ensemble.origin.reason is not None and time.monotonic() < end:
            time.sleep(0.05)
        result.is_back = ensemble.origin.reason is None
    return result


def main() -> None:
    """Run, print what happened, and end with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--faces", type=int, default=600)
    parser.add_argument("--every", type=int, default=40, help="a fault at every so many faces")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    result = run(given.faces, given.every, given.seed)
    for fault, count in sorted(result.faults.items()):
        print(f"{count:5} times {fault}")
    for (model, how), count in sorted(result.answers.items()):
        print(f"{count:5} faces read by {model}, {how}")
    lost = given.faces - result.answers.total()
    print(f"{lost} lost, {result.wrong} wrong; {'whole again' if result.is_back else 'NOT whole again'}")
    sys.exit(int(lost > 0 or result.wrong > 0 or not result.is_back))


if __name__ == "__main__":
    main()
