"""What an order takes along: its pictures and recipes, by what is in them."""

from dataclasses import replace
from pathlib import Path

from tests.daemon.worker.orders import order

from stylewatch_daemon.executors.ray.job_inputs import Luggage
from stylewatch_painter.recipes import book as recipe_book


def test_all_pictures_of_an_order_go_by_their_digests(tmp_path: Path, pictures: Path) -> None:
    given = order(tmp_path, pictures)
    mask = pictures / "content.mask.png"
    mask.write_bytes(b"mask")
    given = replace(given, init=pictures / "content.jpg", masks={"content-mask": mask})
    luggage = Luggage.of(given)
    assert set(luggage.parcels) == {pictures / "content.jpg", pictures / "style.jpg", mask}
    there = luggage.unpacked(Path("there"))
    assert there.content is not None
    assert there.content.name == "content.jpg" and there.content.parts[0] == "there"
    assert there.content == there.init != there.styles[0]
    assert there.masks["content-mask"].name == mask.name
    assert (there.staging, there.settings) == (given.staging, given.settings)


def test_the_same_picture_of_two_jobs_is_the_same_there(tmp_path: Path, pictures: Path) -> None:
    given = order(tmp_path, pictures)
    other = pictures / "other"
    other.mkdir()
    (other / "style.jpg").write_bytes((pictures / "style.jpg").read_bytes())
    again = replace(given, styles=(other / "style.jpg",))
    first, second = (Luggage.of(one).unpacked(tmp_path).styles for one in (given, again))
    assert first == second


def test_recipes_of_ones_own_go_along(tmp_path: Path, pictures: Path) -> None:
    book = tmp_path / "book"
    book.mkdir()
    (book / "mine.yaml").write_text("extends: gatys\nschedule: {steps: 7}\n")
    path = tmp_path / "single.yaml"
    path.write_text("extends: mine\n")
    given = order(tmp_path, pictures, recipe=str(path))
    given = replace(given, recipe_folders=(book,))
    luggage = Luggage.of(given)
    root = tmp_path / "there"
    for one, parcel in luggage.parcels.items():
        (root / parcel.place).parent.mkdir(parents=True, exist_ok=True)
        one.rename(root / parcel.place)
    there = luggage.unpacked(root)
    assert recipe_book.find(there.settings.recipe, *there.recipe_folders).schedule.steps == 7


def test_what_is_not_there_stays_as_it_is_named(tmp_path: Path, pictures: Path) -> None:
    gone = replace(order(tmp_path, pictures), content=Path("gone.jpg"))
    assert Luggage.of(gone).unpacked(tmp_path).content == Path("gone.jpg")
