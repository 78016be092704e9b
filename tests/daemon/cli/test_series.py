"""The keys of `--set` and `--sweep`, the jobs of a series, and the masks of a job."""

from pathlib import Path

import pytest

from stylewatch_daemon.cli.build_order import RenderRequest, masks_by_role, plan_series
from stylewatch_daemon.cli.options import members, parse_sets, parse_sweep

pytestmark = pytest.mark.usefixtures("here")

PAIR = (Path("content.jpg"), Path("style.jpg"))


@pytest.mark.parametrize(
    ("below", "swept"), [("schedule.steps", "steps"), ("steps", "schedule.steps")]
)
def test_a_swept_field_beats_the_one_of_all_members_whatever_name_either_has(
    below: str, swept: str, tmp_path: Path
) -> None:
    request = RenderRequest(PAIR, {"sets": [f"{below}=5"]})
    plans = plan_series(request, members(parse_sweep([f"{swept}=3,4"])), tmp_path)
    assert [plan.recipe.schedule.steps for plan in plans] == [3, 4]


def test_masks_belong_to_styles_by_their_order() -> None:
    file = PAIR[0]
    given = {"mask": file, "style_mask": ["none", str(file)]}
    assert masks_by_role(given, 2) == {"content-mask": file, "style-2-mask": file}


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("watch.quiet_s=0.5", "watch.quiet_s", 0.5),
        ("schedule.steps=3", "job.set.schedule.steps", 3),
        ("objective.content=", "job.set.objective.content", None),
        ("name='{content}={seed}'", "job.name", "{content}={seed}"),
    ],
)
def test_a_key_is_a_setting_of_the_daemon_of_a_job_or_a_field_of_the_recipe(
    text: str, key: str, value: object
) -> None:
    assert parse_sets([text]) == parse_sets([f"{text.partition('=')[0]}=9", text]) == {key: value}


def test_members_of_a_series_have_unique_names() -> None:
    names = [member.name for member in members(parse_sweep(["recipe=a/b,'a:b'"]))]
    assert names == ["recipe=a_b", "recipe=a_b-2"]
