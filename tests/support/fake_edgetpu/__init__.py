"""A fake Edge TPU for tests: its library, the networks that it runs, and its faults on demand.

    tpu = FakeEdgeTpu(tmp_path, ["2-1"])        # a folder that steers it, and a sysfs with one stick
    tpu.fail("infer", "abort")                  # the next inference aborts the process

The library is compiled once a session with the system's C compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import yaml

from edge_fer.inference.model_store import MANIFEST, ModelStore
from edge_fer.types import LABELS, Image
from tests.support.debian import need_debian, program
from tests.support.tflite_networks import TfliteWriter, schema

SOURCE = Path(__file__).with_name("fake_edgetpu.c")
INFER_FAULTS = ("error", "abort", "segfault", "hang", "slow", "garbage", "flip", "shape")
GREY_STEP = 1 / 255 / 0.255  # one step of int8 a grey value, as the shipped classifier's standardisation has it
LOGIT_STEP = 0.1  # wide enough for answers that are sure, so that wrong ones differ
LOAD_FAULTS = ("no_device", "refuse", "abort", "segfault", "hang")


@cache
def library() -> Path:
    """Compile it, unless that was done before."""
    need_debian("gcc", "libc6-dev")
    target = Path(tempfile.gettempdir()) / f"fake-edgetpu-{sha256(SOURCE.read_bytes()).hexdigest()[:16]}.so"
    if not target.exists():
        built = target.with_suffix(f".{os.getpid()}")
        options = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror")
        subprocess.run([program("gcc"), *options, "-o", built, SOURCE], check=True)
        built.replace(target)
    return target


class FakeEdgeTpu:
    """The folder that steers the fake, and the sysfs and /dev that show its devices.

    Args:
        folder: empty; of the test's own.
        sticks: USB ports.
        boards: PCIe devices.
    """

    def __init__(self, folder: Path, sticks: Iterable[str] = ("2-1",), boards: Iterable[str] = ()) -> None:
        self.folder, self.sysfs, self.dev = folder / "steer", folder / "sys", folder / "dev"
        self.folder.mkdir(parents=True)
        for number, port in enumerate(sticks, start=5):
            self.plug_in(port, number)
        for name in boards:
            (self.sysfs / "class/apex" / name).mkdir(parents=True)
        self._tell_library()

    def plug_in(self, port: str, number: int) -> None:
        """Let a stick appear at a USB port, with a number that no device had before."""
        path = self.sysfs / "bus/usb/devices" / port
        (path / "port").mkdir(parents=True)
        for name, text in {
            "idVendor": "18d1", "idProduct": "9302", "busnum": "2", "devnum": str(number), "authorized": "1",
            "port/disable": "0",
        }.items():  # fmt: skip
            (path / name).write_text(f"{text}\n")
        node = self.dev / "bus/usb/002" / f"{number:03}"
        node.parent.mkdir(parents=True, exist_ok=True)
        node.write_bytes(b"")
        self._tell_library()

    def unplug(self, port: str) -> None:
        """Let the stick at a USB port disappear."""
        shutil.rmtree(self.sysfs / "bus/usb/devices" / port)
        self._tell_library()

    def fail(self, where: str, kind: str, argument: int = 0, *, since: int = 0, device: str = "*") -> None:
        """Fail once: at the next load or inference, or at the one with the number `since`."""
        self._write("next", f"{where} {kind} {argument} {since} {device}")

    def fail_always(self, where: str, kind: str, argument: int = 0, *, device: str = "*") -> None:
        """Fail at every load or inference from now on."""
        self._write("always", f"{where} {kind} {argument} 0 {device}")

    def recover(self) -> None:
        """Fail no more."""
        for name in ("next", "always"):
            (self.folder / name).unlink(missing_ok=True)

    @property
    def armed(self) -> bool:
        """Whether the fault that `fail` asked for is still to come."""
        return (self.folder / "next").exists()

    @property
    def loads(self) -> int:
        """How often a process asked for the delegate."""
        return self._count("loads")

    @property
    def inferences(self) -> int:
        """How often a network was run, probes included."""
        return self._count("inferences")

    @contextmanager
    def present(self) -> Iterator[FakeEdgeTpu]:
        """Have child processes that are started meanwhile find it."""
        before = os.environ.get("FAKE_EDGETPU")
        os.environ["FAKE_EDGETPU"] = str(self.folder)
        try:
            yield self
        finally:
            if before is None:
                del os.environ["FAKE_EDGETPU"]
            else:
                os.environ["FAKE_EDGETPU"] = before

    def _tell_library(self) -> None:
        usb = [f"usb /sys/bus/usb/devices/{path.name}" for path in self.sysfs.glob("bus/usb/devices/*")]
        pci = [f"pci /dev/{path.name}" for path in self.sysfs.glob("class/apex/*")]
        self._write("devices", "\n".join([*sorted(usb, reverse=True), *pci]))  # not in the kernel's order

    def _write(self, name: str, text: str) -> None:
        draft = self.folder / f"{name}.draft"
        draft.write_text(text + "\n")
        draft.replace(self.folder / name)

    def _count(self, name: str) -> int:
        path = self.folder / name
        return path.stat().st_size if path.exists() else 0


def twins(side: int = 56, values: int = 7, vector: int = 0) -> tuple[bytes, bytes]:
    """A network for the CPU, and the same one compiled for the fake.

    Both take int8 `(1, side, side, 3)` and give int8 `(1, values)`: pixels of the middle row. With a `vector` they
    also take int8 `(1, vector)`, which is concatenated to these pixels.

    Returns:
        Two .tflite files.
    """
    step, row = side // values, side // 2
    pick = schema.StridedSliceOptionsT()
    corners = [[0, row, 0, 0], [1, row + 1, step * values, 1], [1, 1, step, 1]]
    cpu = TfliteWriter()
    source = cpu.tensor("input", [1, side, side, 3], GREY_STEP)
    picked = cpu.tensor("picked", [1, 1, values, 1], GREY_STEP)
    answer = cpu.tensor("pixels" if vector else "output", [1, values], LOGIT_STEP)
    constants = [cpu.constant(f"constant{index}", corner) for index, corner in enumerate([*corners, [1, values]])]
    cpu.operator(schema.BuiltinOperator.STRIDED_SLICE, [source, *constants[:3]], [picked],
                 (schema.BuiltinOptions.StridedSliceOptions, pick))  # fmt: skip
    cpu.operator(schema.BuiltinOperator.RESHAPE, [picked, constants[3]], [answer])
    tpu = TfliteWriter()
    taken = [tpu.tensor("input", [1, side, side, 3], GREY_STEP)]
    given = tpu.tensor("output", [1, values + vector], LOGIT_STEP)
    sources = [source]
    if vector:
        taken.append(tpu.tensor("vector", [1, vector], LOGIT_STEP))
        sources.append(cpu.tensor("vector", [1, vector], LOGIT_STEP))
        pixels, answer = answer, cpu.tensor("output", [1, values + vector], LOGIT_STEP)
        cpu.operator(schema.BuiltinOperator.CONCATENATION, [pixels, sources[1]], [answer],
                     (schema.BuiltinOptions.ConcatenationOptions, schema.ConcatenationOptionsT(axis=1)))  # fmt: skip
    tpu.operator(schema.BuiltinOperator.CUSTOM, taken, [given], custom=b"edgetpu-custom-op")
    return cpu.write(sources, [answer]), tpu.write(taken, [given])


def detector_twins(side: int = 64) -> tuple[bytes, bytes]:
    """A detector for the CPU, and the same one compiled for the fake: its maps are the first values of its input.

    So a picture can be painted in which it finds what a test wants; see `painted`.

    Returns:
        Two .tflite files.
    """
    shapes = [[1, side // stride, side // stride, MAP_CHANNELS] for stride in (16, 32)]
    cpu, tpu = TfliteWriter(), TfliteWriter()
    source = cpu.tensor("input", [1, side, side, 3], 1.0)
    row = cpu.tensor("row", [1, side * side * 3], 1.0)
    flat = cpu.constant("flat", [1, side * side * 3])
    cpu.operator(schema.BuiltinOperator.RESHAPE, [source, flat], [row])
    answers = []
    for place, shape in enumerate(shapes):
        count = shape[1] * shape[2] * MAP_CHANNELS
        ends = ("begin", [0, 0]), ("end", [1, count]), ("stride", [1, 1])
        corners = [cpu.constant(f"{name}{place}", corner) for name, corner in ends]
        part = cpu.tensor(f"part{place}", [1, count], 1.0)
        cpu.operator(schema.BuiltinOperator.STRIDED_SLICE, [row, *corners], [part],
                     (schema.BuiltinOptions.StridedSliceOptions, schema.StridedSliceOptionsT()))  # fmt: skip
        answers.append(cpu.tensor(f"map{place}", shape, LOGIT_STEP))
        cpu.operator(schema.BuiltinOperator.RESHAPE, [part, cpu.constant(f"shape{place}", shape)], [answers[-1]])
    taken = tpu.tensor("input", [1, side, side, 3], 1.0)
    given = [tpu.tensor(f"map{place}", shape, LOGIT_STEP) for place, shape in enumerate(shapes)]
    tpu.operator(schema.BuiltinOperator.CUSTOM, [taken], given, custom=b"edgetpu-custom-op")
    return cpu.write([source], answers), tpu.write([taken], given)


MAP_CHANNELS = 36
DETECTOR = "yolov3_tiny"
"""The detector of a folder that `add_detector` was called with."""


def add_detector(folder: Path, side: int = 64, *, compiled: bool = True) -> None:
    """Add the twins of a detector to a folder of models."""
    content = yaml.safe_load((folder / MANIFEST).read_text())
    cpu, tpu = detector_twins(side)
    content["models"][DETECTOR] = {
        "task": "detect", "quantization": "int8", **_saved(folder / f"{DETECTOR}.tflite", cpu),
        "input": {"colour": "rgb", "mean": 128 / 255, "std": 1 / 255, "size": side}, "labels": list(LABELS),
        "anchors": [[10, 10], [16, 16], [32, 32], [48, 48], [56, 56], [64, 64]],
        **{name: content["models"]["mtcnn_onet"][name] for name in ("source", "licence", "card")},
    }  # fmt: skip
    if compiled:
        edgetpu = {**_saved(folder / f"{DETECTOR}_edgetpu.tflite", tpu), "compiler": "none"}
        content["models"][DETECTOR]["edgetpu"] = edgetpu
    (folder / MANIFEST).write_text(yaml.safe_dump(content))


def painted(image: Image, label: int) -> Image:
    """A square picture whose first rows say that there is one face of half its side in the middle.

    Args:
        image: `(64, 64, 3)` uint8, BGR.
        label: what the face shows, by its place among the labels.
    """
    side = image.shape[0]
    cells = side // 16
    maps = np.full((cells, cells, 3, MAP_CHANNELS // 3), 0, np.uint8)  # a logit of -12.8 everywhere
    middle = maps[cells // 2, cells // 2, 2]
    middle[:4], middle[4], middle[5 + label] = 128, 200, 200
    middle[:2] = 68  # a hair right of the cell's corner, and below
    flat = np.ascontiguousarray(image[:, :, ::-1]).reshape(-1)
    flat[: maps.size] = maps.reshape(-1)
    return np.ascontiguousarray(flat.reshape(image.shape)[:, :, ::-1])


COMPILED, ENSEMBLE = "se_resnet50", "both"
"""In a `twin_store`: the classifier that the fake Edge TPU runs, and the ensemble."""


def twin_store(folder: Path, *, compiled: bool = True, ensemble: bool = False) -> ModelStore:
    """A folder of models: the shipped detector, and in the place of the shipped classifier the twins.

    There also is a smaller classifier, `lite`. It was compiled only where there is an `ENSEMBLE` of the two.
    """
    packaged = ModelStore()
    content = yaml.safe_load((packaged.folder / MANIFEST).read_text())
    content["models"] = {name: entry for name, entry in content["models"].items() if entry["task"] != "ensemble"}
    for entry in content["models"].values():
        entry["file"] = str(packaged.folder / entry["file"])
    classifier = content["models"]["se_resnet50"]
    classifier.pop("failover", None)  # golden faces that the shipped network tells apart: the twins are others
    for name, side in (("se_resnet50", 56), ("lite", 28)):
        cpu, tpu = twins(side)
        entry = {**classifier, "input": {**classifier["input"], "size": side}, **_saved(folder / f"{name}.tflite", cpu)}
        if compiled and (ensemble or name == "se_resnet50"):
            entry["edgetpu"] = {**_saved(folder / f"{name}_edgetpu.tflite", tpu), "compiler": "none"}
        content["models"][name] = entry
    if ensemble:
        members = [{"name": "se_resnet50", "weight": 0.75}, {"name": "lite", "weight": 0.25}]
        facts = {name: classifier[name] for name in ("source", "licence", "card")}
        content["models"][ENSEMBLE] = {"task": "ensemble", "members": members, **facts}
    (folder / MANIFEST).write_text(yaml.safe_dump(content))
    return ModelStore(folder)


def _saved(path: Path, content: bytes) -> dict[str, str]:
    path.write_bytes(content)
    return {"file": path.name, "sha256": sha256(content).hexdigest()}
