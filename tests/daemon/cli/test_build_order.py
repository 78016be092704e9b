"""From the options of a command line to the Order for a worker."""

from pathlib import Path

import pytest

from stylewatch_daemon.cli.build_order import (
    RenderRequest,
    make_plan,
    masks_by_role,
    parse_sweep,
    plan_series,
)
from stylewatch_daemon.cli.options import JobOptions, parse_sets
from stylewatch_daemon.settings.job import members

pytestmark = pytest.mark.usefixtures("here")

PAIR = (Path("content.jpg"), Path("style.jpg"))


def test_an_order_has_the_pictures_and_the_settings(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "backends: {sketch: {a: 1}}\nrecipes: [own]\nlimits: {max_pixels: 9, "
        "out_of_memory: cpu, memory: 6GB}\nlog: {level: debug}\n"
    )
    sets = ["quality=50", "smallest=3", "objective.content=null", "limits.max_pixels=7"]
    job = JobOptions(backend="sketch", steps=3, artifact=None, sets=sets)
    plan = make_plan(RenderRequest((*PAIR, PAIR[1]), job, tmp_path / "config.yaml"), tmp_path)
    order = plan.order
    assert (order.content, order.styles) == (PAIR[0], (PAIR[1], PAIR[1]))
    assert plan.pictures == (*PAIR, PAIR[1]) and plan.place.path == Path("content-style.png")
    assert (order.settings.steps, order.settings.quality) == (3, 50)
    assert (plan.recipe.schedule.steps, plan.recipe.schedule.smallest) == (3, 3)
    assert plan.recipe.objective.content is None
    assert order.backend_options == {"a": 1}
    assert order.recipe_folders == (tmp_path / "own",)
    assert (order.max_pixels, order.out_of_memory, order.memory) == (7, "cpu", 6_000_000_000)
    assert plan.debug


def test_the_suffix_of_the_output_sets_the_format_and_a_start_is_a_word_or_a_picture(
    tmp_path: Path,
) -> None:
    for output, kind in (("a.webp", "webp"), ("a", "png")):
        plan = make_plan(RenderRequest(PAIR, JobOptions(), output=output), tmp_path)
        assert plan.order.settings.format == kind
    for start in ("noise", "style.jpg"):
        plan = make_plan(RenderRequest(PAIR, JobOptions(init=start)), tmp_path)
        is_picture = start == "style.jpg"
        assert plan.recipe.schedule.start == ("picture" if is_picture else "noise")
        assert (plan.order.init, plan.pictures[2:]) == (
            (PAIR[1], PAIR[1:]) if is_picture else (None, ())
        )


@pytest.mark.parametrize(
    ("below", "swept"),
    [("schedule.steps", "steps"), ("steps", "schedule.steps"), ("steps", "steps")],
)
def test_a_swept_field_beats_the_one_of_all_members_whatever_name_either_has(
    below: str, swept: str, tmp_path: Path
) -> None:
    request = RenderRequest(PAIR, JobOptions(sets=[f"{below}=5"]))
    _, plans = plan_series(request, members(parse_sweep([f"{swept}=3,4"])), tmp_path)
    assert [plan.recipe.schedule.steps for _, plan in plans] == [3, 4]


def test_masks_belong_to_styles_by_order_and_replace_repeated_ones_of_their_side() -> None:
    file = PAIR[0]
    masks = {"content-mask": file, "style-2-mask": file}
    assert masks_by_role(JobOptions(mask=file, style_mask=["none", str(file)]), 2) == masks
    repeated = {"content-mask": Path("a"), "style-1-mask": Path("b"), "style-2-mask": Path("c")}
    assert masks_by_role(JobOptions(), 2, repeated) == repeated
    own = masks_by_role(JobOptions(mask=file), 2, repeated)
    assert own == {**repeated, "content-mask": file}
    own = masks_by_role(JobOptions(style_mask=[str(file)]), 2, repeated)
    assert own == {"content-mask": Path("a"), "style-1-mask": file}


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("watch.quiet_s=0.5", "watch.quiet_s", 0.5),
        ("schedule=fast", "job.schedule", "fast"),
        ("schedule.steps=3", "job.set.schedule.steps", 3),
        ("objective.content=", "job.set.objective.content", None),
        ("name='{content}={seed}'", "job.name", "{content}={seed}"),
    ],
)
def test_a_key_is_a_setting_of_the_daemon_of_a_job_or_a_field_of_the_recipe(
    text: str, key: str, value: object
) -> None:
    assert parse_sets([text]) == parse_sets([f"{text.partition('=')[0]}=9", text]) == {key: value}
