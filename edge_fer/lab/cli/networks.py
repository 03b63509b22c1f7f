"""`edge-fer lab networks`."""

from __future__ import annotations

import typer

_HEADS = ("network", "input", "parameters", "without head", "statistics", "for")


def networks() -> None:
    """List the networks that can be trained: what each takes, its parameters at the published size, and what it is for.

    Statistics are those of batch norms, which training measures. A recipe names its network in `start.network`. A new
    network is one file in edge_fer/lab/networks and one recipe.

    Example: edge-fer lab networks
    """
    from edge_fer.lab.networks import network_names

    rows = [_HEADS, *map(_row, network_names())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, picture, *counts, purpose in rows:
        numbers = (f"{count:>{width}}" for count, width in zip(counts, widths[2:-1], strict=True))
        typer.echo("  ".join([f"{name:{widths[0]}}", f"{picture:{widths[1]}}", *numbers, purpose]))


def _row(name: str) -> tuple[str, ...]:
    import torch

    from edge_fer.lab.export.convert import parameters
    from edge_fer.lab.networks import open_network
    from edge_fer.lab.training.batch_norm import statistics

    kind = open_network(name)
    with torch.device("meta"):  # shapes without memory
        net = kind()
    counts = (parameters(net), parameters(net) - parameters(net.head), statistics(net))
    return (name, f"{net.side}x{net.side} {net.colour}", *(f"{count:,}" for count in counts), kind.PURPOSE)
