"""The networks of the lab, one file each.

A network is opened by the name of its file: adding one is adding a file with a subclass of `Network`, and a recipe
that names it in `start.network`.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import TYPE_CHECKING

from edge_fer.errors import ConfigError

if TYPE_CHECKING:
    from edge_fer.lab.networks.base import Network  # needs torch

DEFAULT = "se_resnet50"
"""The network of recipes and weights that name none."""


def network_names() -> list[str]:
    """The names of all classifiers in this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if _find(module.name) is not None)


def open_network(name: str) -> type[Network]:
    """The class of a network.

    Args:
        name: the name of its file.

    Raises:
        ConfigError: when there is no such network.
    """
    exists = any(module.name == name for module in pkgutil.iter_modules(__path__))
    network = _find(name) if exists else None
    if network is None:
        known = network_names()
        close = difflib.get_close_matches(name, known, n=1)
        hint = f", did you mean `{close[0]}`?" if close else ""
        raise ConfigError(f"expected a network ({', '.join(known)}), found `{name}`{hint}")
    return network


def _find(module_name: str) -> type[Network] | None:
    """The network that a file of this package defines; None for a file without one."""
    from edge_fer.lab.networks.base import Network

    module = importlib.import_module(f"{__name__}.{module_name}")
    for value in vars(module).values():
        # A class without a purpose is one that networks derive from.
        if isinstance(value, type) and issubclass(value, Network) and value.__module__ == module.__name__:
            return value if hasattr(value, "PURPOSE") else None
    return None
