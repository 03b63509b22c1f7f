"""An Edge TPU that crashes, hangs and comes back: the real child process, with a fake library in it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from edge_fer.errors import BackendError, ModelError
from edge_fer.expression.classifier import Classifier, open_classifier
from edge_fer.expression.failover import Failover
from edge_fer.expression.golden_faces import golden_faces
from edge_fer.expression.open_model import open_expression_model
from edge_fer.expression.scheduler import STOP_S
from edge_fer.inference.edgetpu.backend import EdgeTpuBackend
from edge_fer.inference.model_store import MANIFEST, ModelStore
from edge_fer.inference.supervised import Change
from edge_fer.settings import ClassifySettings
from edge_fer.status.run_condition import RunCondition
from edge_fer.types import AlignedFace, Expression, Origin
from tests.support import ROOT
from tests.support.fake_edgetpu import INFER_FAULTS, LOAD_FAULTS, FakeEdgeTpu, library, twin_store

TPU = Origin("se_resnet50", "edgetpu:usb:0")
UNSEEN = ("garbage", "flip")  # no error tells of these
SLOW_MS = 10_000


@pytest.fixture
def tpu(tmp_path: Path) -> Iterator[FakeEdgeTpu]:
    library()  # where it cannot be compiled, the test is skipped here and not in a child
    with FakeEdgeTpu(tmp_path / "tpu").present() as present:
        yield present


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return twin_store(tmp_path_factory.mktemp("models"))


@pytest.fixture
def cpu(store: ModelStore) -> Iterator[Classifier]:
    with open_classifier(ClassifySettings(backend="cpu", model=TPU.model), store) as classifier:
        yield classifier


def settings_for(tpu: FakeEdgeTpu, **changes: Any) -> ClassifySettings:
    usual: dict[str, Any] = {
        "backend": "edgetpu", "model": TPU.model, "edgetpu_library": str(library()),
        "sysfs": tpu.sysfs, "dev": tpu.dev,
        "deadline_ms": 2000, "retry_s": 0.01, "retry_max_s": 0.02, "park_s": 600, "check_every": 0,
    }  # fmt: skip
    return ClassifySettings(**{**usual, **changes})


def opened(tpu: FakeEdgeTpu, store: ModelStore, **changes: Any) -> Failover:
    reader = open_expression_model(settings_for(tpu, **changes), store)
    assert isinstance(reader, Failover)
    return reader


def condition_of(failover: Failover) -> RunCondition:
    nothing: Any = SimpleNamespace()
    return RunCondition(nothing, failover, nothing, {})


def changes_of(failover: Failover) -> tuple[Change, ...]:
    return tuple(condition_of(failover).device_changes())


def recovery_of(failover: Failover) -> dict[str, int]:
    return condition_of(failover).recovery


def face_of(seed: int, size: int = 56) -> AlignedFace:
    return AlignedFace.of_crop(np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8))


def until(true: Callable[[], bool], within_s: float = 20.0) -> bool:
    end = time.monotonic() + within_s
    while not true() and time.monotonic() < end:
        threading.Event().wait(0.005)
    return true()


def in_service(failover: Failover) -> bool:
    return failover.origin.reason is None


def child_of(failover: Failover, index: int = 0) -> int:
    backend = failover._readers[index][1]._backend
    assert isinstance(backend, EdgeTpuBackend)
    assert backend.pid is not None
    return backend.pid


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def read_from(expression: Expression) -> Origin:
    assert expression.origin is not None
    return expression.origin


def test_a_face_is_read_on_the_edge_tpu_as_on_the_cpu(tpu: FakeEdgeTpu, store: ModelStore, cpu: Classifier) -> None:
    with opened(tpu, store) as failover:
        assert (failover.origin, failover.parallel, changes_of(failover), recovery_of(failover)) == (TPU, 1, (), {})
        before = tpu.inferences
        for seed in range(5):
            expression = failover.classify(face_of(seed))
            assert (expression, expression.origin) == (cpu.classify(face_of(seed)), TPU)
        assert tpu.inferences == before + 5


@pytest.mark.parametrize("kind", [kind for kind in INFER_FAULTS if kind not in UNSEEN])
def test_a_failure_is_answered_by_the_cpu_at_once_and_the_edge_tpu_comes_back(
    tpu: FakeEdgeTpu, store: ModelStore, cpu: Classifier, kind: str
) -> None:
    deadline_ms = 150 if kind in ("hang", "slow") else 2000
    with opened(tpu, store, deadline_ms=deadline_ms) as failover:
        tpu.fail("infer", kind, SLOW_MS)
        expression = failover.classify(face_of(1))
        origin = read_from(expression)
        assert expression == cpu.classify(face_of(1))
        assert (origin.model, origin.backend) == ("se_resnet50", "cpu")
        assert origin.reason
        assert "\n" not in origin.reason
        assert until(lambda: in_service(failover))
        assert failover.classify(face_of(2)) == cpu.classify(face_of(2))
        told = changes_of(failover)
        assert [change.state for change in told] == ["degraded", "degraded", "running"]
        assert origin.reason in told[0].message
        assert "restart" in told[1].message
        assert told[2].message == "edgetpu:usb:0 is back and answers rightly"
        assert recovery_of(failover) == {"restart": 1}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOAD_FAULTS)
def test_a_start_that_fails_ends_a_named_device_and_degrades_auto(
    tpu: FakeEdgeTpu, store: ModelStore, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    start_s = 1.0 if kind == "hang" else 20.0
    tpu.fail("load", kind)
    with pytest.raises(BackendError) as caught:
        open_expression_model(settings_for(tpu, start_deadline_s=start_s), store)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5
    tpu.fail("load", kind)
    with (
        caplog.at_level(logging.WARNING),
        opened(tpu, store, backend="auto", start_deadline_s=start_s, retry_s=0.2) as failover,
    ):
        assert "faces are read on cpu until all devices are well" in caplog.text
        assert failover.origin.backend == "cpu"
        assert read_from(failover.classify(face_of(1))).reason is not None
        assert until(lambda: in_service(failover))
        assert failover.origin == TPU


def test_a_device_that_answers_wrongly_is_not_put_into_service(
    tpu: FakeEdgeTpu, store: ModelStore, cpu: Classifier
) -> None:
    tpu.fail_always("infer", "garbage")
    with opened(tpu, store, backend="auto") as failover:
        assert "the golden faces" in (failover.origin.reason or "")
        assert failover.classify(face_of(1)) == cpu.classify(face_of(1))
        tpu.recover()
        assert until(lambda: in_service(failover))


@pytest.mark.parametrize("kind", UNSEEN)
def test_a_wrong_answer_in_service_is_caught_where_it_is_looked_for(
    tpu: FakeEdgeTpu, store: ModelStore, cpu: Classifier, kind: str
) -> None:
    with opened(tpu, store, check_every=3) as failover:
        for seed in range(2):
            assert read_from(failover.classify(face_of(seed))) == TPU
        tpu.fail("infer", kind)
        expression = failover.classify(face_of(2))
        assert expression == cpu.classify(face_of(2))
        assert read_from(expression) == Origin("se_resnet50", "cpu", "edgetpu:usb:0 read a face otherwise than the CPU")
        assert until(lambda: in_service(failover))


def test_every_shipped_classifier_tells_the_golden_faces_apart() -> None:
    """Else a device that gives its last answer for ever would pass."""
    packaged = ModelStore()
    specs = {name: spec for name, spec in packaged.specs.items() if spec.task == "classify"}
    assert specs
    for name, spec in specs.items():
        with open_classifier(ClassifySettings(backend="cpu", model=name), packaged) as classifier:
            one, other = (classifier.classify(face).probabilities for face in golden_faces(spec))
        assert max(abs(p - q) for p, q in zip(one, other, strict=True)) > 2 * spec.failover.tolerance


@pytest.mark.slow
def test_the_recovery_steps_are_tried_and_the_device_is_parked(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    with opened(tpu, store) as failover:
        tpu.fail_always("load", "no_device")
        os.kill(child_of(failover), signal.SIGKILL)
        assert read_from(failover.classify(face_of(1))).backend == "cpu"
        assert until(lambda: "parked" in recovery_of(failover))
        # the bus is a folder: a file in the place of a device cannot be reset
        assert recovery_of(failover) == {"restart": 3, "reauthorise": 1, "parked": 1}
        told = [change.message for change in changes_of(failover)]
        assert any("usb_reset was not possible" in text and "reauthorise" in text for text in told)
        assert told[-1] == "edgetpu:usb:0 is away: parked, next start in 600 s"
        tpu.recover()
        tpu.unplug("2-1")
        tpu.plug_in("2-1", 17)
        assert until(lambda: in_service(failover)), "a replug ends the pause"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "resets"), [("no_device", {}), ("abort", {"reauthorise": 1})])
def test_a_device_that_never_was_in_service_is_reset_only_after_a_crash(
    tpu: FakeEdgeTpu, store: ModelStore, kind: str, resets: dict[str, int]
) -> None:
    """Else a start beside another program that uses it would reset it under that."""
    tpu.fail_always("load", kind)
    with opened(tpu, store, backend="auto") as failover:
        assert until(lambda: "parked" in recovery_of(failover))
        assert recovery_of(failover) == {"restart": 3, "parked": 1, **resets}


def test_a_start_that_hangs_can_be_cancelled(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    tpu.fail_always("load", "hang")
    start = time.monotonic()
    with open_expression_model(settings_for(tpu, start_deadline_s=600), store, lambda: tpu.loads > 0) as reader:
        assert reader.origin.backend == "cpu"
    assert time.monotonic() - start < 60


def test_a_face_without_a_device_always_says_why(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    class Returning:
        """Comes back as soon as it was asked why it is away."""

        def __init__(self) -> None:
            self.answers = iter(["it is away"])

        @property
        def reason(self) -> str | None:
            return next(self.answers, None)

    with opened(tpu, store) as failover:
        real = failover._readers
        for ask in (lambda: read_from(failover.classify(face_of(1))), lambda: failover.origin):
            failover._readers = ((real[0][0], Returning()),)  # type: ignore[assignment]
            failover._free = list(failover._readers)
            assert ask() == Origin("se_resnet50", "cpu", "it is away")


def test_the_child_killed_between_two_faces(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    with opened(tpu, store) as failover:
        pid = child_of(failover)
        os.kill(pid, signal.SIGKILL)
        origin = read_from(failover.classify(face_of(1)))
        assert origin.backend == "cpu"
        assert "SIGKILL" in (origin.reason or "")
        assert until(lambda: in_service(failover))
        assert child_of(failover) != pid


def test_the_child_stopped(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    with opened(tpu, store, deadline_ms=150) as failover:
        pid = child_of(failover)
        os.kill(pid, signal.SIGSTOP)
        origin = read_from(failover.classify(face_of(1)))
        assert origin.backend == "cpu"
        assert "no answer to `infer` within 0.15 s" in (origin.reason or "")
        assert until(lambda: gone(pid))
        assert until(lambda: in_service(failover))


@pytest.mark.slow
def test_the_child_goes_with_its_parent(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    program = (
        "import sys; from tests.inference.edgetpu import test_edgetpu as t\n"
        "from tests.support.fake_edgetpu import FakeEdgeTpu as F\n"
        "tpu = F.__new__(F); from pathlib import Path\n"
        f"tpu.sysfs, tpu.dev = Path({str(tpu.sysfs)!r}), Path({str(tpu.dev)!r})\n"
        f"failover = t.opened(tpu, t.ModelStore(Path({str(store.folder)!r})))\n"
        "print(t.child_of(failover), flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.kill()
        assert until(lambda: gone(child), within_s=2.0)


def test_two_edge_tpus_share_the_faces(tmp_path: Path, store: ModelStore) -> None:
    with FakeEdgeTpu(tmp_path / "tpu", ["2-1", "2-2"]).present() as tpu, opened(tpu, store) as failover:
        assert failover.parallel == 2
        assert child_of(failover, 0) != child_of(failover, 1)
        tpu.fail_always("infer", "slow", 200)
        both = threading.Barrier(2)
        found: list[Origin] = []

        def read(seed: int) -> None:
            both.wait()
            found.append(read_from(failover.classify(face_of(seed))))

        threads = [threading.Thread(target=read, args=(seed,)) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {origin.backend for origin in found} == {"edgetpu:usb:0", "edgetpu:usb:1"}
        tpu.fail_always("load", "no_device", device="usb:1")
        os.kill(child_of(failover, 1), signal.SIGKILL)
        with failover._lease() as first:  # so that the next face goes to the dead one
            assert first is not None
            assert first[1].name == "edgetpu:usb:0"
            assert read_from(failover.classify(face_of(3))).backend == "cpu"
        for seed in range(3):
            assert read_from(failover.classify(face_of(seed))).backend == "edgetpu:usb:0", "it waits for the other"
        assert failover.origin.backend == "edgetpu:usb:0"
        assert failover.origin.reason is not None, "half of it is missing"


@pytest.mark.parametrize("name", ["edgetpu:usb:1", "edgetpu:pci:0"])
def test_a_device_is_chosen_by_kind_and_number(tmp_path: Path, store: ModelStore, name: str) -> None:
    """The library counts its devices in another order than the kernel."""
    with (
        FakeEdgeTpu(tmp_path / "tpu", ["2-1", "2-2"], ["apex_0"]).present() as tpu,
        opened(tpu, store, backend=name) as failover,
    ):
        assert (failover.parallel, failover.origin.backend) == (1, name)


def test_a_device_that_is_not_there_is_named_with_those_that_are(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    with pytest.raises(BackendError, match=r"expected the Edge TPU usb:3, found edgetpu:usb:0; plug it in"):
        open_expression_model(settings_for(tpu, backend="edgetpu:usb:3"), store)


def test_auto_without_an_edge_tpu_is_the_cpu_and_well(tmp_path: Path, store: ModelStore) -> None:
    with open_expression_model(ClassifySettings(model=TPU.model, sysfs=tmp_path), store) as reader:
        assert reader.origin == Origin("se_resnet50", "cpu")


def test_without_a_compiled_network_auto_says_how_to_make_one(
    tpu: FakeEdgeTpu, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = twin_store(tmp_path, compiled=False)
    with caplog.at_level(logging.WARNING), open_expression_model(settings_for(tpu, backend="auto"), store) as reader:
        assert reader.origin.backend == "cpu"
        assert "deploy/compile_edgetpu.sh" in (reader.origin.reason or "")
        assert "deploy/compile_edgetpu.sh" in caplog.text
        assert read_from(reader.classify(face_of(1))).reason == reader.origin.reason
    with pytest.raises(BackendError, match=r"deploy/compile_edgetpu\.sh"):
        open_expression_model(settings_for(tpu), store)


def test_without_a_compiled_network_the_fallback_model_reads(tpu: FakeEdgeTpu, tmp_path: Path) -> None:
    store = twin_store(tmp_path, compiled=False)
    with open_expression_model(settings_for(tpu, backend="auto", fallback_model="lite"), store) as reader:
        assert (reader.origin.model, reader.origin.backend) == ("lite", "cpu")
        assert "deploy/compile_edgetpu.sh" in (reader.origin.reason or "")


@pytest.mark.parametrize("name", ["model", "fallback_model"])
def test_a_model_that_does_not_exist_is_told_on_any_box(
    tpu: FakeEdgeTpu, store: ModelStore, tmp_path: Path, name: str
) -> None:
    for sysfs in (tpu.sysfs, tmp_path / "empty"):
        settings = settings_for(tpu, backend="auto", sysfs=sysfs, **{"fallback_model": "lite", name: "lightt"})
        with pytest.raises(ModelError, match="found `lightt`"):
            open_expression_model(settings, store)


def test_a_deadline_ends_before_a_run_gives_the_reader_up() -> None:
    with pytest.raises(ValueError, match="deadline_ms"):
        ClassifySettings(deadline_ms=STOP_S * 1e3)


def test_a_network_that_was_not_compiled_would_run_on_the_cpu_unnoticed(tpu: FakeEdgeTpu, tmp_path: Path) -> None:
    store = twin_store(tmp_path)
    text = (tmp_path / MANIFEST).read_text()
    spec = store.specs["se_resnet50"]
    assert spec.edgetpu is not None
    (tmp_path / MANIFEST).write_text(
        text.replace(spec.edgetpu.file, spec.file).replace(spec.edgetpu.sha256, spec.sha256)
    )
    with pytest.raises(BackendError, match="would run on the CPU"):
        open_expression_model(settings_for(tpu), ModelStore(tmp_path))


def test_a_missing_library_says_what_to_install(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    with pytest.raises(BackendError, match="install libedgetpu1-std"):
        open_expression_model(settings_for(tpu, edgetpu_library="libnone.so.1"), store)


def test_another_model_may_stand_in_and_is_named(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    with opened(tpu, store, fallback_model="lite", check_every=1) as failover:
        assert read_from(failover.classify(face_of(1))) == TPU, "two models are not compared"
        tpu.fail("infer", "error")
        expression = failover.classify(face_of(1))
        assert (read_from(expression).model, read_from(expression).backend) == ("lite", "cpu")
        assert sum(expression.probabilities) == pytest.approx(1)


def test_each_model_brings_its_own_threshold(tpu: FakeEdgeTpu, tmp_path: Path) -> None:
    twin_store(tmp_path)
    content = yaml.safe_load((tmp_path / MANIFEST).read_text())
    content["models"]["se_resnet50"]["abstain_below"] = 0.41
    content["models"]["lite"]["abstain_below"] = 0.67
    (tmp_path / MANIFEST).write_text(yaml.safe_dump(content))
    with opened(tpu, ModelStore(tmp_path), fallback_model="lite") as failover:
        assert failover.classify(face_of(1)).abstain_below == 0.41
        tpu.fail("infer", "error")
        assert failover.classify(face_of(1)).abstain_below == 0.67


def test_a_stand_in_must_take_the_same_crop(tpu: FakeEdgeTpu, tmp_path: Path) -> None:
    twin_store(tmp_path)
    content = yaml.safe_load((tmp_path / MANIFEST).read_text())
    content["models"]["lite"]["crop"] = {**content["models"]["lite"]["crop"], "eye_y": 0.4}
    (tmp_path / MANIFEST).write_text(yaml.safe_dump(content))
    with pytest.raises(ModelError, match="expected a fallback_model that takes faces cut out like"):
        open_expression_model(settings_for(tpu, fallback_model="lite"), ModelStore(tmp_path))


@pytest.mark.slow
def test_closing_gives_everything_back(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    with opened(tpu, store):
        pass
    before = open_descriptors(), threading.active_count()
    for fault in ("", "infer hang", "load hang"):
        with opened(tpu, store, deadline_ms=100) as failover:
            pid = child_of(failover)
            if fault:
                tpu.fail_always(*fault.split())
                os.kill(pid, signal.SIGSTOP)
                failover.classify(face_of(1))
                loads = tpu.loads
                assert until(lambda loads=loads: tpu.loads > loads), "the next child is being started when it closes"
        tpu.recover()
        assert gone(pid)
    assert (open_descriptors(), threading.active_count()) == before
