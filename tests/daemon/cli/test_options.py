"""What `--set KEY=VALUE` may name, and what it means."""

import pytest

from stylewatch_daemon.cli.options import parse_sets
from stylewatch_daemon.errors import UsageError


@pytest.mark.parametrize(
    ("said", "key", "value"),
    [
        ("watch.quiet_s=0.5", "watch.quiet_s", 0.5),
        ("backends.torch.threads=2", "backends.torch.threads", 2),
        ("job.seed=3", "job.seed", 3),
        ("steps=100", "job.steps", 100),
        ("size=640x480", "job.size", "640x480"),
        ("schedule=fast", "job.schedule", "fast"),
        ("schedule.steps=3", "job.set.schedule.steps", 3),
        ("keep_detail=no", "job.set.keep_detail", False),
        ("optimizer.rate=1", "job.set.optimizer.rate", 1),
        ("objective.tv.weight=0.1", "job.set.objective.tv.weight", 0.1),
        ("objective.content=null", "job.set.objective.content", None),
        ("objective.content=", "job.set.objective.content", None),
        ("set.smallest=1", "job.set.smallest", 1),
        ("stages.size=900", "job.stages.size", 900),
        ("style_weights=[2, 1]", "job.style_weights", [2, 1]),
        ("name='{content}={seed}'", "job.name", "{content}={seed}"),
    ],
)
def test_a_key_is_a_setting_one_of_a_job_or_a_field_of_the_recipe(
    said: str, key: str, value: object
) -> None:
    assert parse_sets([said]) == {key: value}


def test_the_last_word_on_a_key_holds() -> None:
    assert parse_sets(["steps=1", "steps=2"]) == {"job.steps": 2}
    assert parse_sets(None) == {}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("stepps=1", "--set: unknown key 'stepps'; did you mean 'steps'?"),
        ("keep=[sheet]", "--set: unknown key 'keep'; it is now called 'artifacts'"),
        ("quiet_s=1", "--set: unknown key 'quiet_s'; did you mean 'watch.quiet_s'?"),
        ("objektive.tv.weight=1", "--set: unknown key 'objektive'; did you mean 'objective'?"),
        ("steps", "--set takes KEY=VALUE, as steps=100, got 'steps'"),
        ("steps=[1", "--set steps: the value"),
        ("alerts.urls=[json://hush]", "--set alerts.urls: these are secrets"),
        ("alerts={urls: [json://hush]}", "--set alerts.urls: these are secrets"),
        ("alerts.urls json://hush", "--set alerts.urls: these are secrets"),
    ],
)
def test_what_cannot_be_set_is_refused_with_what_helps(said: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_sets([said])
    assert str(caught.value).startswith(told)
    assert "hush" not in str(caught.value)
