"""A short form of `make surface SURFACE=commands`: each command and each condition once."""

import os
import pwd
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import platformdirs
import pytest
from tests.surface import commands
from tests.surface.commands import (
    ARGUMENTS,
    CONDITIONS,
    OF_ACCOUNTS,
    Start,
    World,
    cases,
    leaves,
    needs_arguments,
    no_root,
    skipped,
    try_all,
)

from stylewatch_daemon.cli.main import _at_home

KNOWN = (
    ("submit", "root for a daemon"), ("pause", "root before a daemon"), ("show", "ascii"),
    ("recipes", "gone reader"), ("config show", "no account"), ("submit", "full disk"),
    ("init", "no HOME"), ("try", "nothing can be written"), ("cancel", "another account"),
)  # fmt: skip
"""Cases in which there was a fault."""


def test_each_command_ends_with_its_code_and_our_words_wherever_it_is_started() -> None:
    names = len({name for name, _ in cases()})
    tried = {*cases()[:: names + 1], *KNOWN}
    assert {condition for _, condition in tried} == {*CONDITIONS, *OF_ACCOUNTS}
    found = [(*case, said) for case, said in try_all(sorted(tried)) if said]
    assert found == []
    assert no_root() or not any(map(skipped, tried))


def test_each_command_gets_the_arguments_that_it_needs() -> None:
    needing = {name for name, command in leaves() if needs_arguments(command)}
    assert needing <= ARGUMENTS.keys() <= {name for name, _ in leaves()}


def test_a_home_folder_is_meant_however_an_option_and_its_value_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    known, at_home = set[str](), set[tuple[str, ...]]()
    for words, command in leaves():
        options = [each for each in command.params if each.param_type_name == "option"]
        flags = [name for each in options if each.is_flag for name in each.opts if len(name) == 2]
        for option in (each for each in options if not each.is_flag and each.name not in known):
            known.add(option.name)
            short = [name for name in option.opts if len(name) == 2]
            spellings = [
                *((name, "~/x") for name in option.opts),
                *((f"{name}=~/x",) for name in option.opts if name not in short),
                *((f"{joint}~/x",) for name in short
                  for joint in (name, *(flag + name[1:] for flag in flags))),
            ]  # fmt: skip
            found = dict[tuple[str, ...], Any]()
            for spelling in spellings:
                given = [_at_home(word) for word in spelling]
                params = command.make_context(words, given, resilient_parsing=True).params
                found[spelling] = str(params[option.name])
            assert len({*found.values()}) == 1, (words, found)
            at_home |= {each for each, value in found.items() if "/home/ann/x" in value}
    assert at_home >= {("--state", "~/x"), ("--state=~/x",), ("-o~/x",), ("-qo~/x",)}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_no_condition_leads_to_the_home_of_whoever_runs_it(
    condition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path / "world")
    start = Start(world, ["recipes"], world.environment())
    CONDITIONS[condition](start)
    for stream in {start.stdout, start.stderr} - {subprocess.PIPE}:
        os.close(stream)
    with monkeypatch.context() as patch:
        for name in (name for name in os.environ if name == "HOME" or name.startswith("XDG_")):
            patch.delenv(name)
        for name, value in start.variables.items():
            patch.setenv(name, value)
        for kind in ("config", "state", "data", "cache"):
            folder: Path = getattr(platformdirs, f"user_{kind}_path")("stylewatch")
            assert folder.is_relative_to(world.home), condition


def test_the_machine_goes_no_further_once_a_command_has_written_to_the_real_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / ".config/stylewatch/config.yaml"

    def leak(start: Start) -> None:
        settings.parent.mkdir(parents=True)
        settings.touch()

    monkeypatch.setattr(pwd, "getpwuid", lambda user: SimpleNamespace(pw_dir=str(tmp_path)))
    monkeypatch.setattr(commands, "CONDITIONS", {"leak": leak})
    with pytest.raises(AssertionError, match=f"has written to the real home: .*{settings}"):
        list(try_all([("recipes", "leak")]))
