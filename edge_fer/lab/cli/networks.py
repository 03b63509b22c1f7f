"""`edge-fer lab networks`."""

from __future__ import annotations

import typer


def networks() -> None:
    """List the networks that can be trained: what each takes, its parameters, and what it is for.

    A recipe names its network in `start.network`. A new network is one file in edge_fer/lab/networks and one recipe.

    Example: edge-fer lab networks
    """
    import torch

    from edge_fer.lab.export.convert import parameters
    from edge_fer.lab.networks import network_names, open_network

    rows: list[tuple[str, str, str, str]] = []
    for name in network_names():
        kind = open_network(name)
        with torch.device("meta"):  # shapes without memory
            count = parameters(kind())
        shown = kind.INPUT
        rows.append((name, f"{shown.side}x{shown.side} {shown.colour}", f"{count / 1e6:.1f} M", kind.PURPOSE))
    names, pictures, counts = (max(len(row[column]) for row in rows) for column in range(3))
    for name, picture, size, purpose in rows:
        typer.echo(f"{name:{names}}  {picture:{pictures}}  {size:>{counts}}  {purpose}")
