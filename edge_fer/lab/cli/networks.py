"""`edge-fer lab networks`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from torch import nn

    from edge_fer.lab.networks.yolov3_tiny import YoloV3Tiny

_HEADS = ("network", "input", "parameters", "without head", "statistics", "for")


def networks() -> None:
    """List the networks that can be trained: what each takes, its parameters at the published size, and what it is for.

    Statistics are those of batch norms, which training measures. A recipe names its network in `start.network`. A new
    network is one file in edge_fer/lab/networks and one recipe.

    Example: edge-fer lab networks
    """
    from edge_fer.lab.networks import network_names
    from edge_fer.lab.networks.yolov3_tiny import YoloV3Tiny

    rows = [_HEADS, *map(_classifier, network_names()), _detector(YoloV3Tiny)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, picture, *counts, purpose in rows:
        numbers = (f"{count:>{width}}" for count, width in zip(counts, widths[2:-1], strict=True))
        typer.echo("  ".join([f"{name:{widths[0]}}", f"{picture:{widths[1]}}", *numbers, purpose]))


def _classifier(name: str) -> tuple[str, ...]:
    import torch

    from edge_fer.lab.networks import open_network

    with torch.device("meta"):  # shapes without memory
        net = open_network(name)()
    return _row(name, f"{net.side}x{net.side} {net.colour}", net, net.head, net.PURPOSE)


def _detector(kind: type[YoloV3Tiny]) -> tuple[str, ...]:
    import torch

    with torch.device("meta"):
        net = kind()
    return _row(kind.name(), f"{net.resolution}x{net.resolution} {net.input.colour}", net, net.heads, net.PURPOSE)


def _row(name: str, picture: str, net: nn.Module, head: nn.Module, purpose: str) -> tuple[str, ...]:
    from edge_fer.lab.export.convert import parameters
    from edge_fer.lab.training.batch_norm import statistics

    counts = (parameters(net), parameters(net) - parameters(head), statistics(net))
    return (name, picture, *(f"{count:,}" for count in counts), purpose)
