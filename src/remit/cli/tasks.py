"""``--remit``: what a session is narrowed to, as JSON on the command line."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from remit.model import TaskRemit


class TaskRemitOption(click.ParamType[TaskRemit]):
    """A task remit written as JSON."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: Any) -> TaskRemit:
        """The remit.

        Raises:
            click.BadParameter: it is none.
        """
        if isinstance(value, TaskRemit):
            return value
        try:
            return msgspec.json.decode(value, type=TaskRemit)
        except msgspec.MsgspecError as problem:
            self.fail(f'{problem}. Write JSON such as {{"does": ["read"]}}.', param, ctx)


remit_option = click.option(
    "--remit",
    type=TaskRemitOption(),
    default=None,
    help='What the task needs, such as {"does": ["read"]}: everything else is refused.',
)
"""For commands that open a session."""
