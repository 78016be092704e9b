"""Help as plain text, with commands and options in groups."""

import re
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

_TYPE = re.compile(r" <(bool|str|path|list\[.*\])>$")
"""Pattern of types that say nothing about the value to give, and are left out."""


class GroupedCommands(TyperGroup):
    """Group whose commands are listed one per line, under their `rich_help_panel` as headings."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group of commands."""
        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        limit = formatter.width - 6 - max(len(name) for name, _ in commands)
        rows = (
            (getattr(command, "rich_help_panel", None), (name, command.get_short_help_str(limit)))
            for name, command in commands
        )
        _write_groups(formatter, rows, "Commands")


class GroupedOptions(TyperCommand):
    """Command whose options are listed under their `rich_help_panel` as headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for the arguments, and one for each group of options."""
        rows = []
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                is_argument = parameter.param_type_name == "argument"
                group = "Arguments" if is_argument else getattr(parameter, "rich_help_panel", None)
                rows.append((group, (_TYPE.sub("", record[0]), record[1])))
        _write_groups(formatter, rows, "Options")


def _write_groups(
    formatter: Any, rows: Iterable[tuple[str | None, tuple[str, str]]], default: str
) -> None:
    """Write the rows under their headings, in the order in which headings first appear."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for heading, row in rows:
        groups.setdefault(heading or default, []).append(row)
    for heading, own in groups.items():
        with formatter.section(heading):
            formatter.write_dl(own)
