"""What a run shows of an Edge TPU that fails: readings and statuses, and the command line's exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fer.expression.failover import Failover
from edge_fer.expression.open_model import open_expression_model
from edge_fer.inference.model_store import ModelStore
from edge_fer.pipeline import Pipeline
from edge_fer.publish import Sink
from edge_fer.schema import Reading, Record, Status
from edge_fer.settings import Settings, load_settings
from edge_fer.types import Image
from tests.inference.edgetpu.test_edgetpu import child_of, in_service, until
from tests.support import ROOT
from tests.support.fake_edgetpu import COMPILED, FakeEdgeTpu, library, twin_store
from tools.field.torture import Loop, pictures_of_a_face, torture


class Kept(Sink):
    """A sink that keeps what it is given, and does something after some readings."""

    def __init__(self, **actions: Any) -> None:
        self.records: list[Record] = []
        self._actions = {int(name.removeprefix("after_")): action for name, action in actions.items()}

    def publish(self, record: Record, image: Image | None) -> None:
        self.records.append(record)
        if isinstance(record, Reading):
            self._actions.get(len(self.readings), lambda: None)()

    def close(self) -> None:
        pass

    @property
    def readings(self) -> list[Reading]:
        return [record for record in self.records if isinstance(record, Reading)]

    @property
    def told(self) -> list[Status]:
        return [record for record in self.records if isinstance(record, Status)]


def settings_for(tpu: FakeEdgeTpu, store: ModelStore) -> Settings:
    flags = {
        "backend": "edgetpu", "edgetpu_library": str(library()), "sysfs": str(tpu.sysfs), "dev": str(tpu.dev),
        "deadline_ms": 2000, "retry_s": 0.01, "model": "se_resnet50", "fallback_model": "lite",
    }  # fmt: skip
    dotted: dict[str, Any] = {f"classify.{name}": value for name, value in flags.items()}
    return load_settings(
        environment={}, flags={**dotted, "models": str(store.folder), "detect.size": 320, "detect.min_face": 24}
    )


def test_a_run_says_what_read_each_frame_and_what_happened(tmp_path: Path) -> None:
    store = twin_store(tmp_path)
    with FakeEdgeTpu(tmp_path / "tpu").present() as tpu:
        settings = settings_for(tpu, store)
        failover = open_expression_model(settings.classify, store)
        assert isinstance(failover, Failover)

        def kill() -> None:
            os.kill(child_of(failover), signal.SIGKILL)

        def ready() -> bool:
            """The frames wait while the child is away, once one was read without it."""
            return not sink.readings or not sink.readings[-1].degraded or in_service(failover)

        sink = Kept(after_5=kill)
        loop = Loop(pictures_of_a_face(), 20, 0.01, ready)
        with Pipeline(settings, [sink], model=failover, opener=lambda *_: loop) as pipeline:
            pipeline.run()
            back = until(lambda: in_service(failover))
        assert back
    readings = sink.readings
    assert [reading.frame for reading in readings] == list(range(20))
    away = [reading for reading in readings if reading.degraded]
    assert 1 <= len(away) <= 6, "some were on their way"
    assert all((reading.model, reading.backend) == ("lite", "cpu") for reading in away)
    assert all("SIGKILL" in (reading.reason or "") for reading in away)
    well = [reading for reading in readings if not reading.degraded]
    assert all((reading.model, reading.backend, reading.reason) == ("se_resnet50", "edgetpu:usb:0", None)
               for reading in well)  # fmt: skip
    assert readings[0] in well
    assert readings[-1] in well
    assert sink.told[0].message.endswith("se_resnet50 runs on edgetpu:usb:0")
    degraded = [status for status in sink.told if status.state == "degraded"]
    assert {(status.model, status.backend) for status in degraded} == {("lite", "cpu")}
    assert degraded[-1].recovery == {"restart": 1}
    (returned,) = [status for status in sink.told if "is back" in status.message]
    assert (returned.state, returned.backend, returned.restarts) == ("running", "edgetpu:usb:0", 1)


def test_a_camera_that_is_well_does_not_hide_a_device_that_is_not(tmp_path: Path) -> None:
    store = twin_store(tmp_path)
    sink = Kept()
    with FakeEdgeTpu(tmp_path / "tpu").present() as tpu:
        tpu.fail_always("load", "no_device")
        settings = settings_for(tpu, store)
        classify = settings.classify.model_copy(update={"backend": "auto"})
        loop = Loop([np.full((180, 320, 3), 90, np.uint8)], 2, 0.01)
        with Pipeline(
            settings.model_copy(update={"classify": classify}), [sink],
            opener=lambda *_: loop,
        ) as pipeline:  # fmt: skip
            pipeline.run()
    assert "running" not in {status.state for status in sink.told}
    assert all(reading.degraded and reading.backend == "cpu" and reading.reason for reading in sink.readings)


def run(tmp_path: Path, tpu: FakeEdgeTpu, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {"SYSFS": str(tpu.sysfs), "EDGETPU_LIBRARY": str(library())}
    return subprocess.run(
        [sys.executable, "-m", "edge_fer", "run", "--camera", "sample", "--max-frames", "2", "--models", str(tmp_path),
         "--model", COMPILED, "--format", "json", *arguments],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
        env={**os.environ, **{f"EDGE_FER_CLASSIFY__{name}": value for name, value in variables.items()}},
    )  # fmt: skip


@pytest.mark.slow
def test_a_named_device_that_does_not_open_ends_with_5_and_one_line(tmp_path: Path) -> None:
    twin_store(tmp_path)
    with FakeEdgeTpu(tmp_path / "tpu").present() as tpu:
        tpu.fail_always("load", "abort")
        result = run(tmp_path, tpu, "--backend", "edgetpu")
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.count("\n") == 1
    assert "SIGABRT" in result.stderr
    assert "transfer on tag 2 failed" in result.stderr


@pytest.mark.slow
def test_auto_without_a_compiled_network_says_so_loudly_and_goes_on(tmp_path: Path) -> None:
    twin_store(tmp_path, compiled=False)
    with FakeEdgeTpu(tmp_path / "tpu").present() as tpu:
        result = run(tmp_path, tpu)
    assert result.returncode == 0
    assert "deploy/compile_edgetpu.sh" in result.stderr
    readings = [record for record in map(json.loads, result.stdout.splitlines()) if "reading" in record["schema"]]
    assert all(record["degraded"] and "compile_edgetpu" in record["reason"] for record in readings)


@pytest.mark.slow
def test_300_frames_with_every_fault_once(tmp_path: Path) -> None:
    """The long version is `python -m tools.field.torture`, which also bounds the gaps as tightly as it should."""
    result = torture(tmp_path, 300, 15, patient=True, fps=200)
    assert result.broken_promises(300, 15, growth_mib=16, grace_ms=3000) == []
    assert set(result.injected.values()) == {1}
    for check_every, wrong, kept in ((1, 1, False), (100, 2, True), (100, 3, False)):
        changed = replace(result, check_every=check_every, wrong=wrong)
        assert (changed.broken_promises(300, 15, growth_mib=16, grace_ms=3000) == []) is kept
