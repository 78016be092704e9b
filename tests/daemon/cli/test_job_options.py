"""The options of a job: one list, which the commands that make jobs take their own from."""

import inspect
from pathlib import Path

import pytest

from stylewatch_daemon.cli.build_order import Asked
from stylewatch_daemon.cli.job_options import JobOptions, with_job_options
from stylewatch_daemon.cli.masks import Masks
from stylewatch_daemon.cli.render import render
from stylewatch_daemon.cli.submit import submit
from stylewatch_daemon.errors import UsageError


@pytest.mark.parametrize("command", [render, submit])
def test_a_command_has_an_option_for_each_in_their_order_and_its_own_around(
    command: object,
) -> None:
    assert callable(command)
    found = list(inspect.signature(command).parameters)
    ours = list(JobOptions.__dataclass_fields__)
    begin = found.index("recipe")
    assert found[begin : begin + len(ours)] == ours
    assert "config_file" in found[begin + len(ours) :] and "job" not in found
    assert set(found) == set(command.__annotations__)


def test_what_is_said_reaches_the_command_as_one() -> None:
    told = []

    @with_job_options
    def command(name: str, *, job: JobOptions, quiet: bool = False) -> None:
        told.append((name, job, quiet))

    command("sea", seed=3, quiet=True)
    command("sea")
    assert told == [("sea", JobOptions(seed=3), True), ("sea", JobOptions(), False)]


def test_settings_starts_masks_and_changes_of_the_settings_are_told_apart() -> None:
    job = JobOptions(
        "keras", size="64", init="noise", mask=Path("m.png"), style_mask=["none"], sets=["fit=x"]
    )
    asked = job.asked([Path("sea.jpg")], Path("config.yaml"), "out.png")
    assert asked == Asked(
        (Path("sea.jpg"),),
        "out.png",
        None,
        "noise",
        asked.given,
        ("fit=x",),
        Path("config.yaml"),
        masks=Masks(Path("m.png"), ("none",)),
    )
    assert {key: one for key, one in asked.given.items() if one is not None} == {
        "recipe": "keras", "size": "64",
    }  # fmt: skip
    assert JobOptions().asked(None, None).pictures == ()


def test_a_series_is_told_as_a_job_has_it() -> None:
    assert JobOptions(sweep=["seed=1,2"]).swept == {"seed": (1, 2)}
    assert JobOptions().swept == {}
    with pytest.raises(UsageError, match="--sweep takes KEY=V1"):
        _ = JobOptions(sweep=["seed"]).swept
