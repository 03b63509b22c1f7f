"""The compiler's logs as it writes them, and what becomes of the manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge_fer.errors import ModelError
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.edgetpu.compiler_log import CompilerLog, check_log, read_log, record
from edge_fer.lab.model_folder import update_manifest
from edge_fer.lab.tflite.graph import pack
from edge_fer.types import LABELS
from tests.lab.edgetpu.test_check import One
from tests.lab.edgetpu.test_rules import Builder

pytestmark = pytest.mark.lab

HEAD = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 900 seconds.
"""
DONE = """
Model compiled successfully in 2271 ms.

Input model: tiny.tflite
Input size: 26.93MiB
Output model: tiny_edgetpu.tflite
Output size: 27.40MiB
On-chip memory used for caching model parameters: {cached}
On-chip memory remaining for caching model parameters: 1.00KiB
Off-chip memory used for streaming uncached model parameters: {streamed}
Number of Edge TPU subgraphs: 1
Total number of operations: 7
Operation log: tiny_edgetpu.log
"""
PARTLY = """
Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will \
instead run on the CPU, which is slower. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 5
Number of operations that will run on CPU: 2
"""
TABLE = """
Operator                       Count      Status

{rows}
Compilation child process completed within timeout period.
Compilation succeeded!
"""
ALL = """MEAN                           2          Mapped to Edge TPU
CONV_2D                        2          Mapped to Edge TPU
LOGISTIC                       1          Mapped to Edge TPU
MUL                            1          Mapped to Edge TPU
FULLY_CONNECTED                1          Mapped to Edge TPU"""
SOME = """MEAN                           1          Mapped to Edge TPU
MEAN                           1          Operation is otherwise supported, but not mapped due to some \
unspecified limitation
CONV_2D                        2          Mapped to Edge TPU
LOGISTIC                       1          Mapped to Edge TPU
MUL                            1          Mapped to Edge TPU
FULLY_CONNECTED                1          More than one subgraph is not supported"""
SUCCESS = HEAD + DONE.format(cached="6.89MiB", streamed="20.01MiB") + TABLE.format(rows=ALL)
ON_CPU = HEAD + DONE.format(cached="6.89MiB", streamed="20.01MiB") + PARTLY + TABLE.format(rows=SOME)
NOT_CACHED = HEAD + DONE.format(cached="0.00B", streamed="64.00MiB") + TABLE.format(rows=ALL)
DYNAMIC = f"""{HEAD}ERROR: Attempting to use a delegate that only supports static-sized tensors with a graph that has \
dynamic-sized tensors.
Compilation failed: Model failed in Tflite interpreter. Please ensure model can be loaded/run in Tflite interpreter.
Compilation child process completed within timeout period.
Compilation failed!
"""
CRASH = "Edge TPU Compiler version 14.1.317412892\nInternal compiler error. Aborting!\n"


def compiled_model(name: str = "edgetpu-custom-op", classes: int = 7) -> bytes:
    """What the compiler makes of `Builder`'s graph: one custom operator with the same input and output."""
    b = One()
    b.put("CUSTOM", 1, None, [b.tensor((1, 8, 8, 16))], (1, classes))
    b.model.operatorCodes[0].customCode = name
    return pack(b.model)


def models_folder(folder: Path) -> Path:
    """A folder with one small classifier, and its manifest."""
    content = pack(Builder().model)
    (folder / "tiny.tflite").write_bytes(content)
    spec = ClassifierSpec(
        task="classify",
        file="tiny.tflite",
        sha256=hashlib.sha256(content).hexdigest(),
        input=InputSpec(size=8, colour="grey", mean=0.5, std=0.25),
        quantization="int8",
        labels=LABELS,
        crop=CropSpec(eye_distance=0.3, eye_y=0.37, detail=8),
        source="a test",
        licence="none",
        card="tiny.md",
    )
    update_manifest(folder, {"tiny": spec})
    return folder


def test_a_good_log_is_read() -> None:
    log = read_log(SUCCESS)
    assert log == CompilerLog("16.0.384591198", 7, 0, (), round(6.89 * 2**20), round(20.01 * 2**20))
    check_log(log)


def test_an_operator_on_the_cpu_is_named_with_its_reason() -> None:
    with pytest.raises(ModelError, match=r"all 7 .* found 2 on the CPU \(1 MEAN: .*unspecified limitation; 1 FULLY_CO"):
        check_log(read_log(ON_CPU))


def test_a_chip_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match="none cached and 67108864 bytes streamed"):
        check_log(read_log(NOT_CACHED))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DYNAMIC, "ERROR: Attempting to use a delegate .* Compilation failed: Model failed"),
        (CRASH, "Internal compiler error. Aborting!"),
        ("", "found: nothing"),
        ("Segmentation fault", "found: Segmentation fault"),
        (SUCCESS.replace(ALL, ""), "to list 7 operators, found 0; run it with -s"),
        (SUCCESS.replace("On-chip memory used", "Memory"), "expected `On-chip memory used for caching"),
        (SUCCESS.replace("version 16", "16"), "expected `Edge TPU Compiler version"),
    ],
)
def test_another_log_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_log(text)


def test_a_compiled_model_is_kept_with_its_hash_and_log(tmp_path: Path) -> None:
    folder, content = models_folder(tmp_path), compiled_model()
    record(folder, "tiny", content, SUCCESS)
    store = ModelStore(folder)
    entry = store.specs["tiny"].edgetpu
    assert entry is not None
    assert (entry.file, entry.compiler) == ("tiny_edgetpu.tflite", "edgetpu_compiler 16.0.384591198")
    assert store.load_compiled("tiny", "classify") == content
    assert (folder / "tiny_edgetpu.log").read_text() == SUCCESS
    assert store.load("tiny", "classify") == pack(Builder().model)


@pytest.mark.parametrize(
    ("name", "content", "log", "message"),
    [
        ("nobody", compiled_model(), SUCCESS, "expected one of tiny, found `nobody`"),
        ("tiny", compiled_model(), ON_CPU, "found 2 on the CPU"),
        ("tiny", compiled_model(), NOT_CACHED, "none cached"),
        ("tiny", compiled_model("MyOp"), SUCCESS, "expected one CUSTOM edgetpu-custom-op .* found CUSTOM MyOp"),
        ("tiny", pack(Builder().model), SUCCESS, "found MEAN, CONV_2D, CONV_2D, LOGISTIC"),
        ("tiny", compiled_model(classes=9), SUCCESS, "it is another model's"),
        ("tiny", b"no model at all", SUCCESS, r"expected a \.tflite file"),
    ],
)
def test_what_must_not_be_kept_leaves_no_trace(
    tmp_path: Path, name: str, content: bytes, log: str, message: str
) -> None:
    folder = models_folder(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ModelError, match=message):
        record(folder, name, content, log)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
