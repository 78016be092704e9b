"""The loss is drawn on a log scale, thin enough to send, and said in words."""

import pytest

from stylewatch_daemon.web.loss_svg import HEIGHT, WIDTH, Trails, curve, points

TABLE = "step,width,height,seconds,total,tv\n1,8,6,0.1,1000,1\n2,8,6,0.2,100,1\n3,8,6,0.3,10,1\n"


def places(path: str) -> list[tuple[float, float]]:
    pairs = [one.split() for one in path.removeprefix("M").split(" L")]
    return [(float(across), float(down)) for across, down in pairs]


def test_the_same_factor_is_the_same_height() -> None:
    line = curve(points(TABLE))
    assert line is not None
    (_, first), (middle, second), (_, third) = places(line.path)
    assert middle == WIDTH / 2 and second - first == pytest.approx(third - second)
    assert [label for _, label in line.decades] == ["10", "100", "1000"]


def test_a_painting_that_goes_on_has_room_for_what_comes() -> None:
    line = curve([(1, 5.0), (51, 1.0)], steps=101)
    assert line is not None and places(line.path)[-1][0] == WIDTH / 2


def test_what_has_no_logarithm_is_left_out() -> None:
    assert curve([]) is None
    assert curve([(1, 0.0), (2, -1.0), (3, float("nan")), (4, float("inf"))]) is None


def test_a_loss_that_stays_is_a_line_in_the_middle() -> None:
    line = curve([(1, 7.0), (2, 7.0)])
    assert line is not None
    assert {down for _, down in places(line.path)} == {HEIGHT / 2}


def test_a_long_line_is_thinned_and_keeps_its_ends() -> None:
    line = curve([(step, 1e6 / step) for step in range(1, 20_001)])
    assert line is not None
    drawn = places(line.path)
    assert len(drawn) < 400
    assert (drawn[0][0], drawn[-1][0]) == (0, WIDTH)


def test_words_say_where_it_began_and_where_it_is() -> None:
    line = curve(points(TABLE))
    assert line is not None
    assert line.words == "loss 1e+03 at step 1, 10 at step 3, 99 % less"


def test_a_damaged_table_has_no_points() -> None:
    assert points("") == points("step,total\n1,x\n") == points("a,b\n1,2\n") == []


def test_what_was_published_follows_on_the_table() -> None:
    trails = Trails()
    for step, loss in ((0, None), (1, 9.0), (2, 8.0), (3, 7.0)):
        trails.add("a", step, loss)
    assert trails.after("a", 1) == [(2, 8.0), (3, 7.0)]
    assert trails.after("b", 0) == []


def test_a_painting_that_goes_on_from_further_back_forgets_what_was_ahead() -> None:
    trails = Trails()
    for step in (1, 2, 3, 2):
        trails.add("a", step, float(step))
    assert trails.after("a", 0) == [(1, 1.0), (2, 2.0)]
