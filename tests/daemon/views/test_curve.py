"""The loss curve is drawn from a losses.csv, as far as that can be read."""

import pytest

from stylewatch_daemon.views.curve import HEIGHT, WIDTH, Curve, curve, parse

HEAD = "step,width,height,seconds,total,tv\n"


def drawn(*rows: str, steps: int = 0) -> tuple[Curve, list[tuple[float, float]]]:
    """The curve of the rows of a losses.csv, and the places of its points."""
    line = curve(parse(HEAD + "\n".join(rows)), steps)
    assert line is not None
    pairs = [pair.split() for pair in line.path.removeprefix("M").split(" L")]
    return line, [(float(x), float(y)) for x, y in pairs]


def test_equal_factors_have_equal_heights() -> None:
    line, places = drawn("1,8,6,0,1000,1", "2,8,6,0,100,1", "3,8,6,0,10,1", steps=5)
    (_, first), (_, second), (middle, third) = places
    assert middle == WIDTH / 2 and second - first == pytest.approx(third - second)
    assert list(line.decades) == [third, second, first]
    assert line.words == "loss at 8x6: 1e+03 at step 1, 10 at step 3"


def test_a_curve_has_few_points_and_only_valid_values() -> None:
    _, places = drawn(*(f"{step},8,6,0,{1e6 / step},1" for step in range(1, 20_001)))
    assert len(places) < 400
    _, places = drawn("1,8,6,0,7,1", "2,8,6,0,7,1", "3,8,6,0,0,1", "4,8,6,0,nan,1", "5,8,6,0,inf,1")
    assert [y for _, y in places] == [HEIGHT / 2] * 2
    row = ",8,6,0,4,1\n"
    assert len(parse(f"{HEAD}1{row}{10**400}{row}-1{row}")) == 1
    for table in ("", f"{HEAD}1,8,6,0,x,1\n", "a,b\n1,2\n", f"{HEAD}1,8,6,0,{'4' * 200_000},1\n"):
        assert curve(parse(table)) is None
