"""The loss is drawn on a logarithmic scale, with few points, and said in words."""

import pytest

from stylewatch_daemon.views.loss_curve import HEIGHT, WIDTH, Curve, Point, curve, parse

TABLE = "step,width,height,seconds,total,tv\n1,8,6,0.1,1000,1\n2,8,6,0.2,100,1\n3,8,6,0.3,10,1\n"


def drawn(points: list[Point], steps: int = 0) -> Curve:
    line = curve(points, steps)
    assert line is not None
    return line


def places(path: str) -> list[tuple[float, float]]:
    pairs = [pair.split() for pair in path.removeprefix("M").split(" L")]
    return [(float(x), float(y)) for x, y in pairs]


def test_equal_factors_have_equal_heights() -> None:
    line = drawn(list(parse(TABLE)["total"]))
    (_, first), (middle, second), (_, third) = places(line.path)
    assert middle == WIDTH / 2 and second - first == pytest.approx(third - second)
    assert [label for _, label in line.decades] == ["10", "100", "1000"]
    assert line.words == "loss 1e+03 at step 1, 10 at step 3, 99 % less"


def test_terms_are_drawn_on_the_same_scale_and_named_safely() -> None:
    total = [(1, 100.0), (2, 1.0)]
    line = curve(total, terms={"content.<b>": [(1, 10.0), (2, 0.1)], "tv": [(1, 0.0)]})
    assert line is not None and [name for name, _ in line.terms] == ["content.<b>"]
    (_, height), *_ = places(line.terms[0][1])
    assert places(line.path)[0][1] < height < places(line.path)[1][1]
    assert "content.&lt;b&gt;" in line.svg and line.words in line.svg


def test_a_running_job_has_room_for_the_steps_to_come() -> None:
    assert places(drawn([(1, 5.0), (51, 1.0)], steps=101).path)[-1][0] == WIDTH / 2


def test_values_without_a_logarithm_are_left_out() -> None:
    assert curve([]) is None
    assert curve([(1, 0.0), (2, -1.0), (3, float("nan")), (4, float("inf"))]) is None


def test_a_constant_loss_is_a_line_in_the_middle() -> None:
    assert {y for _, y in places(drawn([(1, 7.0), (2, 7.0)]).path)} == {HEIGHT / 2}
    assert drawn([(1, 7.0)]).words == "loss 7 at step 1"


def test_a_long_line_keeps_its_ends_and_few_points_between() -> None:
    line = places(drawn([(step, 1e6 / step) for step in range(1, 20_001)]).path)
    assert len(line) < 400 and (line[0][0], line[-1][0]) == (0, WIDTH)


@pytest.mark.parametrize("table", ["", "step,total\n1,x\n", "a,b\n1,2\n", "step,total\n1\n"])
def test_a_damaged_table_is_empty(table: str) -> None:
    assert parse(table) == {}
