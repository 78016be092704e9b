"""A short form of `make surface SURFACE=commands`: each command and each condition once."""

import os
import pwd
import subprocess
from pathlib import Path
from types import SimpleNamespace

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

KNOWN = (
    ("submit", "root for a daemon"), ("pause", "root before a daemon"), ("show", "ascii"),
    ("recipes", "gone reader"), ("config show", "no account"), ("submit", "full disk"),
    ("init", "no HOME"), ("cancel", "another account"),
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
