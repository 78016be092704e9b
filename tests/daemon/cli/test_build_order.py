"""From the options of a command line to the Order for a worker."""

from pathlib import Path

import pytest

from stylewatch_daemon.base.errors import UsageError
from stylewatch_daemon.cli.build_order import (
    RenderRequest,
    make_plan,
    masks_by_role,
    plan_series,
)
from stylewatch_daemon.cli.options import parse_sets
from stylewatch_daemon.cli.series import MOST_MEMBERS, columns, members, parse_sweep

pytestmark = pytest.mark.usefixtures("here")

PAIR = (Path("content.jpg"), Path("style.jpg"))


def test_an_order_has_the_pictures_and_the_settings(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "backends: {sketch: {a: 1}}\nrecipes: [own]\nlimits: {max_pixels: 9, "
        "out_of_memory: cpu, memory: 6GB}\nlog: {level: debug}\n"
    )
    sets = ["quality=50", "smallest=3", "objective.content=null", "limits.max_pixels=7"]
    job = {"backend": "sketch", "steps": 3, "init": "style.jpg", "sets": sets}
    plan = make_plan(RenderRequest((*PAIR, PAIR[1]), job, tmp_path / "config.yaml"), tmp_path)
    order, recipe = plan.order, plan.recipe
    assert (order.content, order.styles, order.init) == (PAIR[0], (PAIR[1], PAIR[1]), PAIR[1])
    assert plan.inputs == (*PAIR, PAIR[1], PAIR[1])
    assert (order.settings.steps, order.settings.quality) == (3, 50)
    assert (recipe.schedule.steps, recipe.schedule.smallest) == (3, 3)
    assert (recipe.schedule.start, recipe.objective.content) == ("picture", None)
    assert order.backend_options == {"a": 1}
    assert order.recipe_folders == (tmp_path / "own",)
    assert (order.max_pixels, order.out_of_memory, order.memory) == (7, "cpu", 6_000_000_000)
    assert plan.debug


@pytest.mark.parametrize(
    ("below", "swept"),
    [("schedule.steps", "steps"), ("steps", "schedule.steps"), ("steps", "steps")],
)
def test_a_swept_field_beats_the_one_of_all_members_whatever_name_either_has(
    below: str, swept: str, tmp_path: Path
) -> None:
    request = RenderRequest(PAIR, {"sets": [f"{below}=5"]})
    plans = plan_series(request, members(parse_sweep([f"{swept}=3,4"])), tmp_path)
    assert [plan.recipe.schedule.steps for plan in plans] == [3, 4]


def test_masks_belong_to_styles_by_order_and_replace_repeated_ones_of_their_side() -> None:
    file = PAIR[0]
    masks = {"content-mask": file, "style-2-mask": file}
    assert masks_by_role({"mask": file, "style_mask": ["none", str(file)]}, 2) == masks
    repeated = {"content-mask": Path("a"), "style-1-mask": Path("b"), "style-2-mask": Path("c")}
    assert masks_by_role({}, 2, repeated) == repeated
    own = masks_by_role({"mask": file}, 2, repeated)
    assert own == {**repeated, "content-mask": file}
    own = masks_by_role({"style_mask": [str(file)]}, 2, repeated)
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


@pytest.mark.parametrize(
    ("sweep", "names", "row"),
    [
        (["strength=0.2,0.8", "seed=1,2,3,4,5,6,7"],
         [f"strength={strength},seed={seed}" for strength in (0.2, 0.8) for seed in range(1, 8)],
         7),
        (["recipe=a/b,'a:b',null"], ["recipe=a_b", "recipe=a_b-2", "recipe=null"], 3),
        (["seed=1,2,3,4,5,6,7,8,9"], [f"seed={seed}" for seed in range(1, 10)], 3),
    ],
)  # fmt: skip
def test_members_of_a_series_have_safe_unique_names_and_rows_on_a_sheet(
    sweep: list[str], names: list[str], row: int
) -> None:
    parsed = parse_sweep(sweep)
    assert [member.name for member in members(parsed)] == names
    assert columns(parsed) == row


def test_values_of_a_member_are_settings_and_a_label() -> None:
    swept = parse_sweep(["objective.tv.weight=0.1", "mask.feather=2", "job.seed=3", "smallest=4"])
    (member,) = members(swept)
    assert member.label == "weight 0.1\nfeather 2\nseed 3\nsmallest 4"
    assert member.overrides == {
        "job.set.objective.tv.weight": 0.1, "job.mask.feather": 2, "job.seed": 3,
        "job.set.smallest": 4,
    }  # fmt: skip


def test_a_series_has_a_limit() -> None:
    most = ",".join(map(str, range(MOST_MEMBERS)))
    assert len(members(parse_sweep([f"seed={most}"]))) == MOST_MEMBERS
    with pytest.raises(UsageError, match=f"makes {2 * MOST_MEMBERS} jobs, .* at most"):
        parse_sweep([f"seed={most}", "strength=0.1,0.2"])
