"""The losses are drawn from a losses.csv, as far as that can be read, and in losses.svg."""

import math
from xml.etree import ElementTree

import pytest
from tests.daemon.artifacts.paintings import losses

from stylewatch_daemon.artifacts.loss_curve import (
    HEIGHT,
    PLOT_WIDTH,
    WIDTH,
    Curve,
    Point,
    curve,
    parse,
    svg,
)
from stylewatch_daemon.artifacts.request import LossTable
from stylewatch_painter.errors import PictureError

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
    assert line.words == "loss at 8x6: 1e+03 at step 1, 10 at step 3" and not line.changes


def test_each_change_of_the_size_is_marked_where_the_loss_begins_anew() -> None:
    line, places = drawn(
        "1,4,3,0,9,1", "2,4,3,0,3,1", "3,8,6,0,8,1", "4,8,6,0,2,1", "5,16,12,0,7,1"
    )
    assert list(line.changes) == [places[2][0], places[4][0]]
    assert line.words.startswith("loss at 16x12: 7 at step 5; at each vertical line the size")


def test_a_curve_has_few_points_and_only_valid_values() -> None:
    _, places = drawn(*(f"{step},8,6,0,{1e6 / step},1" for step in range(1, 20_001)))
    assert len(places) < 400
    _, places = drawn("1,8,6,0,7,1", "2,8,6,0,7,1", "3,8,6,0,0,1", "4,8,6,0,nan,1", "5,8,6,0,inf,1")
    assert [y for _, y in places] == [HEIGHT / 2] * 2
    row = ",8,6,0,4,1\n"
    assert len(parse(f"{HEAD}1{row}{10**400}{row}-1{row}")) == 1
    for table in ("", f"{HEAD}1,8,6,0,x,1\n", "a,b\n1,2\n", f"{HEAD}1,8,6,0,{'4' * 200_000},1\n"):
        assert curve(parse(table)) is None


# losses.svg

SVG = "{http://www.w3.org/2000/svg}"


def shown(table: LossTable) -> tuple[list[str], list[ElementTree.Element]]:
    """The texts of losses.svg, and its curves, the total last."""
    root = ElementTree.fromstring(svg(table))
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    paths = [path for path in root.iter(f"{SVG}path") if "L" in path.attrib["d"]]
    return texts, paths


def test_each_term_has_a_curve_that_is_drawn_as_on_the_page() -> None:
    table = losses()
    texts, paths = shown(table)
    assert len(paths) == 3
    assert {"content: conv4_2", "style: conv1_1", "total", "24x18", "48x36", "step"} <= {*texts}
    points = [Point(int(row[0] or 0), row[4] or 0, (48, 36)) for row in table.rows]
    page = curve(points)
    assert page is not None
    of_page, of_file = ([pair.split() for pair in path.strip("M").split(" L")]
                        for path in (page.path, paths[-1].attrib["d"]))  # fmt: skip
    for (x, _), (wide, _) in zip(of_page, of_file, strict=True):
        assert float(wide) / PLOT_WIDTH == pytest.approx(float(x) / WIDTH, abs=0.001)
    circles = list(ElementTree.fromstring(svg(table)).iter(f"{SVG}circle"))
    assert len(circles) == 1 + len(table.stages)


def test_gaps_stay_open_and_what_no_scale_can_show_is_left_out() -> None:
    rows = [[step, 8, 6, 0, 9, 4 if step != 3 else None, 0, math.nan] for step in range(1, 6)]
    table = LossTable(("total", "content.a<b", "style.x", "tv"), rows)
    texts, (term, total) = shown(table)
    assert term.attrib["d"].count("M") == 2
    assert total.attrib["d"].count("M") == 1
    assert "content: a<b" in texts and "smoothness" not in texts
    for nothing in (LossTable(("total",)), LossTable(("total",), [[1, 8, 6, 0, math.inf]])):
        with pytest.raises(PictureError, match="no losses to draw"):
            svg(nothing)
    for few in ([[1, 8, 6, 0, 7]], [[1, 8, 6, 0, 7], [2, 8, 6, 0, 7]], [[2**53, 8, 6, 0, 5e-324]]):
        assert shown(LossTable(("total",), few))
