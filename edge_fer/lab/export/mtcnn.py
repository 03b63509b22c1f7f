"""MTCNN's three nets to `models/`, float32, and INT8 where that is asked for: write, compare, describe.

INT8 is not shipped: on a processor with AVX2 a search takes 91 ms in INT8 and 30 ms in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from edge_fer.inference.manifest import MtcnnSpec, MtcnnTask
from edge_fer.inference.picture_spec import MtcnnInput
from edge_fer.lab.console import Reporter
from edge_fer.lab.export.calibration_mtcnn import cascade_inputs, measure_ranges
from edge_fer.lab.export.convert import check_agreement, parameters
from edge_fer.lab.export.equalize import equalize
from edge_fer.lab.export.model_card import file_table
from edge_fer.lab.model_folder import update_manifest, write_artefact, write_card, write_licence
from edge_fer.lab.networks.mtcnn import MtcnnNet
from edge_fer.lab.tflite.graph import Graph
from edge_fer.lab.tflite.writer import write_mtcnn, write_mtcnn_int8
from edge_fer.lab.weights.mtcnn import MTCNN_NETS, load_mtcnn

TASKS: dict[str, MtcnnTask] = {"pnet": "propose", "rnet": "refine", "onet": "output"}

_PURPOSE = {
    "propose": "proposes windows that may hold a face, on every scale of the picture (P-Net)",
    "refine": "throws out most of the proposals and moves the others (R-Net)",
    "output": "decides, moves the boxes a last time and gives five landmarks (O-Net)",
}
_SOURCE = "PyPI package mtcnn 1.0.0, whose weights come from facenet (after Zhang et al. 2016)"
_QUANTIZATION = """\
The input and the trunk are INT8: convolutions with one scale a channel, dense layers and the slopes of a PReLU with
one for all, biases INT32. The last features are dequantized and the heads, which are tiny, are float: scores, offsets
and landmarks keep a resolution that 256 steps would not give them. Before that, channels are scaled to be more alike
and the next layer's weights against it (Nagel et al., 2019), which changes nothing that is computed. Ranges from
{windows} windows that this net gets in the float cascade, in the portraits and synthetic scenes that are shipped. How
well it agrees with the float net is tested in `tests/`.

Operators: {operators}."""


def export_mtcnn(folder: Path, report: Reporter, *, int8: bool = False) -> None:
    """Write MTCNN's three nets, resizable, with cards and manifest entries.

    Args:
        folder: where they go.
        report: told what was written.
        int8: whether to write them in INT8, too.

    Raises:
        ModelError: when a net's weights do not fit or its file differs from PyTorch.
        OutputError: when the folder cannot be written.
    """
    licence = write_licence(folder, "mtcnn")
    nets = {name: load_mtcnn(name) for name in MTCNN_NETS}
    specs, files = {}, {}
    for name, net in nets.items():
        files[name] = write_mtcnn(net)
        difference = check_agreement(net, files[name], _shapes(net))
        report.say(f"mtcnn_{name}: {Graph(files[name]).summary()}; at most {difference:.1e} from PyTorch")
        specs[f"mtcnn_{name}"] = _keep(folder, name, net, files[name], licence, difference)
    if int8:
        specs |= _keep_int8(folder, nets, files, licence, report)
    update_manifest(folder, specs)


def _keep_int8(
    folder: Path, nets: Mapping[str, MtcnnNet], files: Mapping[str, bytes], licence: str, report: Reporter
) -> dict[str, MtcnnSpec]:
    """Write the nets in INT8; give their manifest entries.

    Args:
        folder: where they go.
        nets: the nets by name.
        files: the same as float .tflite files.
        licence: file with the licence's text.
        report: told what was written.
    """
    specs = {}
    with report.step("collecting the nets' inputs"):
        inputs = cascade_inputs(files)
    for name, net in nets.items():
        equal = equalize(net, inputs[name])
        content = write_mtcnn_int8(equal, measure_ranges(equal, inputs[name]))
        windows, operators = sum(map(len, inputs[name])), Graph(content).summary()
        report.say(f"mtcnn_{name}_int8: {operators}; ranges from {windows} windows")
        text = _QUANTIZATION.format(windows=windows, operators=operators)
        specs[f"mtcnn_{name}_int8"] = _keep(folder, name, net, content, licence, quantization=text)
    return specs


def _keep(
    folder: Path,
    net_name: str,
    net: MtcnnNet,
    content: bytes,
    licence: str,
    difference: float = 0,
    quantization: str = "",
) -> MtcnnSpec:
    """Write a net's file and card; give its manifest entry."""
    name = f"mtcnn_{net_name}_int8" if quantization else f"mtcnn_{net_name}"
    spec = MtcnnSpec(
        task=TASKS[net_name],
        # The manifest's mean and deviation are of pixel / 255: together (pixel - 127.5) / 128.
        input=MtcnnInput(
            size=None if _is_convolutional(net) else net.input_size, colour="rgb", mean=0.5, std=128 / 255
        ),
        quantization="int8" if quantization else "float32",
        source=_SOURCE,
        licence="MIT",
        **write_artefact(folder, name, content),
    )
    card = _card(name, spec, Graph(content), parameters(net), difference, licence, quantization=quantization)
    write_card(folder, spec, card)
    return spec


def _is_convolutional(net: nn.Module) -> bool:
    return not any(isinstance(layer, nn.Linear) for layer in net.modules())


def _shapes(net: MtcnnNet) -> list[tuple[int, ...]]:
    """Input shapes (NHWC) to compare on: the smallest one, and others that the file must take."""
    size = net.input_size
    if _is_convolutional(net):
        return [(1, size, size, 3), (1, 97, 64, 3), (1, 134, 239, 3)]
    return [(1, size, size, 3), (7, size, size, 3)]


def _card(
    name: str,
    spec: MtcnnSpec,
    graph: Graph,
    parameters: int,
    difference: float,
    licence: str,
    *,
    quantization: str = "",
) -> str:
    """The card of one of MTCNN's nets.

    Args:
        name: name of the model in the manifest.
        spec: its entry there.
        graph: the graph of its file.
        parameters: how many trained numbers it has.
        difference: largest difference from PyTorch on random input, as a part of the output's range.
        licence: file with the licence's text.
        quantization: how the weights were changed, a paragraph; empty where they were not.
    """
    written = (
        f"Written by `edge-fer lab export`.\n\n## Quantization\n\n{quantization}"
        if quantization
        else "Written by `edge-fer lab export` without any change to them; on random input the file is at most\n"
        f"{difference:.1e} of the output's range from the PyTorch definition."
    )
    outputs = ", ".join(f"`{graph.name(tensor)}` {graph.shape(tensor)}" for tensor in graph.outputs)
    return f"""# {name}

One of the three nets of MTCNN (Zhang et al., 2016); it {_PURPOSE[spec.task]}.

{file_table(name, spec, graph, parameters)}
| outputs | {outputs}; -1 is any size |

## Source and licence

Weights: {spec.source}. Licence: {spec.licence}, its text in
`{licence}`. {written}

## Training data

Not trained by this project. By its authors' paper: WIDER FACE for boxes, CelebA for landmarks.

## Intended use and limits

To find faces for the classifier beside it. It finds faces and identifies nobody. Faces
that are small, dark, blurred, covered or turned far away are missed, and the pictures it learned from are not
a fair sample of mankind. How well it agrees with the package it comes from is tested in `tests/`, not stated here.
"""
