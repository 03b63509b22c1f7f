"""What finds faces, and on which device; and whether the classifier takes turns with it there."""

from __future__ import annotations

from collections.abc import Iterator

from edge_fer.doctor.finding import Finding, fail, ok, warn
from edge_fer.doctor.host import Host
from edge_fer.errors import BackendError, ModelError
from edge_fer.inference.edgetpu.devices import list_tpus
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.shared_tpu import detector_tpu
from edge_fer.settings import Settings


def check_detector(host: Host, settings: Settings, store: ModelStore | None) -> Iterator[Finding]:
    """Say what a run would find faces with.

    Args:
        host: the machine.
        settings: the detector, and the devices.
        store: the networks; None where there is no manifest.
    """
    detect = settings.detect
    if store is None:
        return
    if detect.kind == "mtcnn":
        yield ok("mtcnn searches pictures on the processor")
        return
    classify = settings.classify.model_copy(update={"sysfs": host.path("sys")})
    try:
        spec = store.spec(detect.model, "detect")
        tpu = detector_tpu(detect, classify)
    except ModelError as error:
        yield fail(str(error), "choose another `detect.model`, or `detect.kind: mtcnn`")
        return
    except BackendError as error:
        found, _, mend = str(error).rpartition("; ")
        yield fail(found, mend)
        return
    reads = " and reads faces" if detect.labels == "own" else ""
    if tpu is None:
        yield ok(f"`{detect.model}` searches pictures{reads} on the processor")
    elif spec.edgetpu is None:
        yield warn(
            f"`{detect.model}` searches pictures{reads} on the processor: it was not compiled for {tpu.name}",
            "deploy/compile_edgetpu.sh on an x86-64 computer, then copy its folder of models here",
        )
    else:
        alone = detect.labels == "own" or len(list_tpus(classify.sysfs)) > 1 or classify.backend == "cpu"
        turns = "" if alone else ", in turns with the classifier"
        yield ok(f"`{detect.model}` searches pictures{reads} on {tpu.name}{turns}")
