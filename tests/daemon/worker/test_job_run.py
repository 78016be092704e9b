"""A painting on its way asks what is wanted, and keeps checkpoints that cost others little."""

from pathlib import Path

import pytest
from tests.daemon.worker.orders import order

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.model import Started
from stylewatch_daemon.worker import checkpoint, job_run
from stylewatch_daemon.worker.contract import Done, Order, Stopped
from stylewatch_daemon.worker.job_run import Painting
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_daemon.worker.recorder import Story
from stylewatch_plugins.contract import Wish


def begun(given: Order, wish: Wish = Wish.GO_ON) -> Painting:
    return Painting(given, lambda: wish, Story.begin(given, prepare(given), {}))


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures)


def test_it_is_told_before_the_first_step_where_and_at_what_sizes(given: Order) -> None:
    started = begun(given).started()
    assert started == Started(
        "sketch", "cpu", ((16, 12), (32, 24)), (3, 5), paints_many=True, warnings=started.warnings
    )


def test_without_a_step_to_make_there_is_none(given: Order) -> None:
    none = given.settings.model_copy(update={"steps": 0})
    one = Order(**{**vars(given), "settings": none})
    with pytest.raises(SettingsError, match="steps: 0 only measures"):
        begun(one)


def test_painted_whole_it_is_done_and_whatever_else_goes_on_is_to_stop(given: Order) -> None:
    one = begun(given)
    assert isinstance(list(one.whole())[-1], Done)
    assert one.ended
    assert one.wish() is Wish.STOP


def test_told_to_stop_it_says_where(given: Order) -> None:
    one = begun(given, Wish.STOP)
    assert list(one.whole())[-1] == Stopped(1)
    assert one.is_to_stop


def test_of_several_each_keeps_checkpoints_as_rarely_as_suits_them_all(
    given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By this clock a step takes two seconds, and a checkpoint one."""
    now = [0.0]

    def passes(seconds: float) -> Wish:
        now[0] += seconds
        return Wish.GO_ON

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "save", lambda *_: passes(1.0))
    monkeypatch.setattr(job_run, "CHEAP", 3.0)
    kept = {}
    for together in (1, 8):
        story = Story.begin(given, prepare(given), {})
        story.together = together
        one = Painting(given, lambda: passes(2.0), story)
        steps = story.prepared.backend.paint(story.prepared.task, one.wish)
        kept[together] = [step.step for step in steps if [*one.take(step)] and step.checkpoint]
    assert kept == {1: [2, 4, 6, 8], 8: [2]}
