"""From what a command line asks to the Order that a worker takes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.outbox.test_receipt import plain

from stylewatch_daemon.cli.build_order import Asked, make_plan
from stylewatch_daemon.errors import InputError, UsageError
from stylewatch_painter.recipes import book


@pytest.fixture(autouse=True)
def here(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with content.jpg and style.jpg in it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    monkeypatch.chdir(pictures)
    return pictures


PAIR = (Path("content.jpg"), Path("style.jpg"))


def test_an_order_has_the_pictures_and_the_settings(tmp_path: Path) -> None:
    plan = make_plan(Asked((*PAIR, PAIR[1]), given={"steps": 3, "seed": None}), tmp_path)
    assert plan.order.content == PAIR[0]
    assert plan.order.styles == (PAIR[1], PAIR[1])
    assert plan.order.settings.steps == 3
    assert plan.recipe.schedule.steps == 3
    assert plan.place.path == Path("content-style.png")
    assert plan.pictures == (*PAIR, PAIR[1])


def test_backends_recipes_and_limits_come_from_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "backends: {sketch: {a: 1}}\nrecipes: [own]\nlimits: {max_pixels: 9, "
        "out_of_memory: cpu, memory: 6GB}\nlog: {level: debug}\n"
    )
    plan = make_plan(Asked(PAIR, given={"backend": "sketch"}, config_file=file), tmp_path)
    assert plan.order.backend_options == {"a": 1}
    assert plan.order.recipe_folders == (tmp_path / "own",)
    assert (plan.order.max_pixels, plan.order.out_of_memory) == (9, "cpu")
    assert plan.order.memory == 6_000_000_000
    assert plan.debug


def test_set_reaches_settings_of_the_job_and_fields_of_the_recipe(tmp_path: Path) -> None:
    sets = ("quality=50", "smallest=3", "objective.content=null", "limits.max_pixels=7")
    plan = make_plan(Asked(PAIR, sets=sets), tmp_path)
    assert plan.order.settings.quality == 50
    assert plan.recipe.schedule.smallest == 3
    assert plan.recipe.objective.content is None
    assert plan.order.max_pixels == 7


def test_the_suffix_of_the_output_says_the_format(tmp_path: Path) -> None:
    assert make_plan(Asked(PAIR, output="a.webp"), tmp_path).order.settings.format == "webp"
    assert make_plan(Asked(PAIR, output="a"), tmp_path).order.settings.format == "png"
    both = Asked(PAIR, output="a.webp", sets=("format=webp",))
    assert make_plan(both, tmp_path).order.settings.format == "webp"
    with pytest.raises(UsageError, match=r"a.webp is webp by its name, and --set says format png"):
        make_plan(Asked(PAIR, output="a.webp", sets=("format=png",)), tmp_path)


@pytest.mark.parametrize("start", ["content", "style", "noise", "mixed"])
def test_a_start_is_a_word(tmp_path: Path, start: str) -> None:
    plan = make_plan(Asked(PAIR, init=start), tmp_path)
    assert plan.recipe.schedule.start == start
    assert plan.order.init is None


def test_or_a_start_is_a_picture(tmp_path: Path) -> None:
    plan = make_plan(Asked(PAIR, init="style.jpg"), tmp_path)
    assert plan.recipe.schedule.start == "picture"
    assert plan.order.init == Path("style.jpg")
    assert plan.pictures == (*PAIR, Path("style.jpg"))


@pytest.mark.parametrize("named", [(), PAIR[:1]])
def test_a_painting_takes_a_photograph_and_a_style(tmp_path: Path, named: tuple[Path, ...]) -> None:
    with pytest.raises(UsageError, match="at least one style"):
        make_plan(Asked(named), tmp_path)


def test_a_start_that_is_neither_word_nor_picture_is_one_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--init takes content, style, noise, mixed or a picture"):
        make_plan(Asked(PAIR, init="nose"), tmp_path)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked((PAIR[0], Path("absent.jpg"))), r"absent\.jpg is not there"),
        (Asked((PAIR[0], Path())), "is a folder, not a picture"),
        (Asked(PAIR, init="absent.jpg"), r"absent\.jpg is not there"),
    ],
)
def test_a_picture_that_is_not_there_is_told_before_anything_is_loaded(
    tmp_path: Path, asked: Asked, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        make_plan(asked, tmp_path)


@pytest.mark.parametrize(
    "asked",
    [
        Asked(PAIR, given={"recipe": "gatis"}),
        Asked(PAIR, given={"size": "huge"}),
        Asked(PAIR, sets=("stepps=3",)),
        Asked(PAIR, sets=("objective.stile=3",)),
        Asked(PAIR, output="a.gif"),
    ],
)
def test_what_makes_no_sense_on_the_command_line_is_one_of_usage(
    tmp_path: Path, asked: Asked
) -> None:
    with pytest.raises(UsageError):
        make_plan(asked, tmp_path)


def test_a_receipts_word_on_memory_beats_the_settings_and_a_commands_beats_that(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.yaml").write_text("backends: {torch: {tile: none, threads: 1}}\n")
    told = plain(recipe=book.find("keras").model_dump(mode="json"))
    told["attempts"][-1]["decided"] = {"tile": 768, "history": 4}
    (tmp_path / "receipt.json").write_text(json.dumps(told))
    said = Asked(PAIR, receipt=tmp_path, config_file=tmp_path / "config.yaml")
    for sets, tile in (((), 768), (("backends.torch.tile=64",), 64)):
        order = make_plan(replace(said, sets=sets), tmp_path).order
        assert order.backend_options == {"threads": 1, "tile": tile, "history": 4}
