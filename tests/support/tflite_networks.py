"""Small .tflite networks for tests, written operator by operator."""

from __future__ import annotations

import numpy as np
import pytest

flatbuffers = pytest.importorskip("flatbuffers", reason="writes networks; comes with ai-edge-litert")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="writes networks")

INPUT_STEP = 1 / 255 / 0.2
LOGIT_STEP = 0.1


def classifier(labels: int, *, side: int = 16) -> bytes:
    """A network with a softmax inside: int8 `(1, side, side, 3)` to int8 `(1, labels)`.

    Its logits are the first pixels of the middle row, in the first channel.
    """
    writer = TfliteWriter()
    row = side // 2
    source = writer.tensor("image", [1, side, side, 3], INPUT_STEP)
    picked = writer.tensor("picked", [1, 1, labels, 1], INPUT_STEP)
    logits = writer.tensor("logits", [1, labels], LOGIT_STEP)
    scores = writer.tensor("scores", [1, labels], 1 / 256, -128)
    corners = [[0, row, 0, 0], [1, row + 1, labels, 1], [1, 1, 1, 1]]
    constants = [writer.constant(f"constant{index}", corner) for index, corner in enumerate([*corners, [1, labels]])]
    writer.operator(schema.BuiltinOperator.STRIDED_SLICE, [source, *constants[:3]], [picked],
                    (schema.BuiltinOptions.StridedSliceOptions, schema.StridedSliceOptionsT()))  # fmt: skip
    writer.operator(schema.BuiltinOperator.RESHAPE, [picked, constants[3]], [logits])
    writer.operator(schema.BuiltinOperator.SOFTMAX, [logits], [scores],
                    (schema.BuiltinOptions.SoftmaxOptions, schema.SoftmaxOptionsT(beta=1.0)))  # fmt: skip
    return writer.write([source], [scores])


class TfliteWriter:
    """A .tflite file in the making; everything is int8."""

    def __init__(self) -> None:
        self.model = schema.ModelT(version=3, description=b"twin", buffers=[schema.BufferT(data=[])])
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT(tensors=[], operators=[])
        self.model.subgraphs = [self.graph]

    def tensor(self, name: str, shape: list[int], scale: float, zero_point: int = 2) -> int:
        """An int8 tensor."""
        quantization = schema.QuantizationParametersT(scale=[scale], zeroPoint=[zero_point])
        return self._add(schema.TensorT(shape=shape, type=schema.TensorType.INT8, buffer=0, name=name.encode(),
                                        quantization=quantization))  # fmt: skip

    def constant(self, name: str, values: list[int]) -> int:
        """A vector of int32."""
        data = np.frombuffer(np.array(values, np.int32).tobytes(), np.uint8)
        self.model.buffers.append(schema.BufferT(data=data))
        return self._add(schema.TensorT(shape=[len(values)], type=schema.TensorType.INT32, name=name.encode(),
                                        buffer=len(self.model.buffers) - 1))  # fmt: skip

    def operator(
        self, code: int, inputs: list[int], outputs: list[int], options: tuple[int, object] = (0, None),
        custom: bytes | None = None,
    ) -> None:  # fmt: skip
        """One operator, between tensors that are there."""
        kind = schema.OperatorCodeT(
            deprecatedBuiltinCode=min(code, 127), builtinCode=code, customCode=custom, version=1
        )
        self.model.operatorCodes.append(kind)
        self.graph.operators.append(
            schema.OperatorT(opcodeIndex=len(self.model.operatorCodes) - 1, inputs=inputs, outputs=outputs,
                             builtinOptionsType=options[0], builtinOptions=options[1])
        )  # fmt: skip

    def write(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The content of the file."""
        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder()
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _add(self, tensor: schema.TensorT) -> int:
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1
