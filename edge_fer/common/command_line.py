"""How commands of `edge-fer` and of its plug-ins read their arguments and show their options."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

_UsageError: Any = typer.BadParameter.__mro__[1]  # click's, or typer's own copy of it: that depends on its version

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OTHER_NAMES = {"--cam", "--device", "--file", "--image", "--input", "--source", "--stream", "--url", "--video", "-i"}


class _PlainFlags:
    """Shows a flag without the type of a value, which it does not take."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class Command(_PlainFlags, TyperCommand):
    """A command."""


class CameraCommand(Command):
    """A command that reads a source, which is named by `--camera` and not otherwise."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say `--camera` to whoever named a source in another way."""
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            extra = re.search(r"unexpected extra argument.*\((\S+)", error.message)
            if getattr(error, "option_name", None) in _OTHER_NAMES:
                error.message += ", did you mean --camera?"
                error.possibilities = None
            elif extra:
                error.message += f", did you mean --camera {extra[1].rstrip(')')}?"
            raise


class TorchrunCommand(Command):
    """A command that torchrun may start several times at once: one process of a machine complains of its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """End without a word where another process has the same to say."""
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            if os.environ.get("LOCAL_RANK", "0") != "0":
                raise SystemExit(error.exit_code) from error
            raise


class Group(_PlainFlags, TyperGroup):
    """A group of commands."""


class App(typer.Typer):
    """An application whose commands and groups are as those above."""

    def __init__(self, *, cls: type[TyperGroup] = Group, **more: Any) -> None:
        super().__init__(cls=cls, **more)

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = Command, **more: Any
    ) -> Callable[[_Function], _Function]:
        """See `typer.Typer.command`."""
        return super().command(name, cls=cls, **more)
