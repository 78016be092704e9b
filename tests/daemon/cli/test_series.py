"""The keys of `--set` and `--sweep`, the jobs of a series, and the masks of a job."""

from pathlib import Path

import pytest

from stylewatch_daemon.base.errors import UsageError
from stylewatch_daemon.cli.build_order import RenderRequest, masks_by_role, plan_series
from stylewatch_daemon.cli.options import parse_sets
from stylewatch_daemon.cli.series import MOST_MEMBERS, columns, members, parse_sweep

pytestmark = pytest.mark.usefixtures("here")

PAIR = (Path("content.jpg"), Path("style.jpg"))


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
    file, a, b, c = PAIR[0], Path("a"), Path("b"), Path("c")
    repeated = {"content-mask": a, "style-1-mask": b, "style-2-mask": c}
    given = {"mask": file, "style_mask": ["none", str(file)]}
    for job, masks in (
        (given, {"content-mask": file, "style-2-mask": file}),
        ({}, repeated),
        ({"mask": file}, {**repeated, "content-mask": file}),
        ({"style_mask": [str(file)]}, {"content-mask": a, "style-1-mask": file}),
    ):
        assert masks_by_role(job, 2, repeated) == masks
    assert masks_by_role(given, 2) == {"content-mask": file, "style-2-mask": file}


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


def test_values_of_a_member_are_settings_and_a_label_and_a_series_has_a_limit() -> None:
    swept = parse_sweep(["objective.tv.weight=0.1", "mask.feather=2", "job.seed=3", "smallest=4"])
    (member,) = members(swept)
    assert member.label == "weight 0.1\nfeather 2\nseed 3\nsmallest 4"
    assert member.overrides == {
        "job.set.objective.tv.weight": 0.1, "job.mask.feather": 2, "job.seed": 3,
        "job.set.smallest": 4,
    }  # fmt: skip
    most = ",".join(map(str, range(MOST_MEMBERS)))
    assert len(members(parse_sweep([f"seed={most}"]))) == MOST_MEMBERS
    with pytest.raises(UsageError, match=f"makes {2 * MOST_MEMBERS} jobs, .* at most"):
        parse_sweep([f"seed={most}", "strength=0.1,0.2"])
