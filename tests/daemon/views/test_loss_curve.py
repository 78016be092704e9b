"""The loss is drawn on a logarithmic scale, with few points, and described in words."""

import pytest

from stylewatch_daemon.views.formatting import columns, duration, losses, memory
from stylewatch_daemon.views.job import HEIGHT, WIDTH, Curve, Point, curve, parse

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


def test_a_line_has_room_for_coming_steps_few_points_and_only_valid_values() -> None:
    assert places(drawn([(1, 5.0), (51, 1.0)], steps=101).path)[-1][0] == WIDTH / 2
    line = places(drawn([(step, 1e6 / step) for step in range(1, 20_001)]).path)
    assert len(line) < 400 and (line[0][0], line[-1][0]) == (0, WIDTH)
    assert {y for _, y in places(drawn([(1, 7.0), (2, 7.0)]).path)} == {HEIGHT / 2}
    assert drawn([(1, 7.0)]).words == "loss 7 at step 1"
    assert curve([(1, 0.0), (2, -1.0), (3, float("nan")), (4, float("inf"))]) is None
    for table in ("", "step,total\n1,x\n", "a,b\n1,2\n", "step,total\n1\n"):
        assert parse(table) == {}


def test_numbers_have_two_units_at_most_and_tables_no_trailing_spaces() -> None:
    times = (0.2, 59.4, 59.6, 190, 7500)
    assert [duration(s) for s in times] == ["0 s", "59 s", "1 min 0 s", "3 min 10 s", "2 h 5 min"]
    assert [memory(b) for b in (3_400_000, 999_000_000, 1_234_000_000)] == [
        "3 MB",
        "999 MB",
        "1.2 GB",
    ]
    assert columns([("a", "bb"), ("ccc", "d")]) == "a    bb\nccc  d"
    assert columns([]) == ""


def test_losses_are_a_table_of_every_term_with_the_total_last() -> None:
    table = losses(
        {
            "total": 2.5,
            "content": {"conv4_2": {"value": 4.0, "weight": 0.5}},
            "style": {"style-1": {"conv1_1": {"value": 1.0, "weight": 0.5}}},
            "tv": {"value": 3.0, "weight": 0.0, "gradient_weight": 0.001},
        }
    )
    assert [line.split(maxsplit=1) for line in table.splitlines()] == [
        ["term", "value  weight  value x weight"],
        ["content", "conv4_2        4      0.5     2"],
        ["style", "style-1 conv1_1  1      0.5     0.5"],
        ["tv", "3      0.001   on the gradient only"],
        ["total", "2.5"],
    ]
