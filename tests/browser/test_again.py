"""A result is refined: painted again with other settings and styles, compared, saved, deleted."""

import re
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect
from tests.browser.site import Site
from tests.browser.viewer import Windows, answer_in_turn, finished, give_pair, see, start

QUICK = ("--set", "backends.sketch.seconds_per_step=0.01", "--set", "steps=20")
STYLES = 3
"""Styles of the library."""


@pytest.fixture
def quick(site: Site, windows: Windows) -> Page:
    """The first page of a daemon with short jobs and a style library, after a job."""
    (site.root / "library").mkdir()
    for number in range(STYLES):
        (site.root / f'library/"tiles" {number}.jpg').write_bytes(site.wave.read_bytes())
    (site.root / 'library/"tiles" 0.txt').write_text("drawn by nobody")
    site.start(*QUICK, "--set", "pairing.styles=library")
    page = windows.open()
    page.goto(site.url)
    give_pair(page, site)
    see(finished(page).get_by_role("img"))
    return page


def open_job(page: Page) -> None:
    finished(page).get_by_role("heading").get_by_role("link").click()
    page.wait_for_url("**/jobs/*")


def paint_again(page: Page) -> None:
    page.get_by_role("button", name="Paint again").click()


def test_a_picture_is_painted_again_and_stands_beside_the_first_one(
    quick: Page, windows: Windows
) -> None:
    open_job(quick)
    expect(quick.get_by_role("button", name="Retry")).to_have_count(0)
    quick.get_by_role("link", name="Paint again").click()
    quick.locator("#strength").fill("0.25")
    quick.get_by_label("Colors").select_option("match")
    quick.get_by_role("checkbox", name='"tiles" 2').check()
    quick.get_by_role("checkbox", name="Blend other styles").check()
    windows.expected.append("ERR_FAILED")
    not_acted = partial(Route.fulfill, json={"acted": False})
    answer_in_turn(quick, "**/again", Route.abort, not_acted)
    paint_again(quick)
    expect(quick.locator("#message")).to_contain_text("stylewatch does not answer")
    paint_again(quick)
    expect(quick.locator("#message")).to_contain_text("You need not ask again.")
    paint_again(quick)
    expect(quick.get_by_role("heading", level=1)).to_contain_text("of wave and _tiles_ 2 (2)")
    variants = quick.get_by_role("region", name="Variants of this photograph").get_by_role(
        "article"
    )
    expect(variants).to_have_count(2)
    for text in ("this job", "in the style of wave and _tiles_ 2", re.compile(r"strength\s*0.25")):
        expect(variants.first).to_contain_text(text)
    see(variants.first.get_by_role("img"))
    see(variants.last.get_by_role("img"))


def test_a_style_is_taken_from_the_library_and_kept_there(quick: Page, site: Site) -> None:
    library = quick.get_by_role("group", name="Style library")
    expect(library).to_contain_text("drawn by nobody")
    see(library.locator("img").first)
    library.get_by_role("checkbox", name="tiles").first.check()
    quick.locator("#content").set_input_files(site.sea)
    start(quick)
    see(finished(quick, "sea in the style of _tiles_ 0").get_by_role("img"))
    open_job(quick)
    quick.get_by_text("Keep wave.jpg in the style library").click()
    quick.get_by_label("Name", exact=True).fill("starry night")
    with quick.expect_navigation():
        quick.get_by_role("button", name="Keep", exact=True).click()
    quick.goto(site.url)
    expect(library.get_by_role("checkbox")).to_have_count(STYLES + 1)


def test_a_picture_is_saved_printed_larger_and_deleted(
    quick: Page, site: Site, windows: Windows
) -> None:
    open_job(quick)
    final = (site.root / "outbox/sea-wave/final.png").read_bytes()
    with quick.expect_download() as download:
        quick.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "sea-wave.png"
    assert Path(download.value.path()).read_bytes() == final
    quick.get_by_text("More", exact=True).click()
    quick.get_by_role("link", name="Print larger").click()
    expect(quick.locator("#size")).to_have_value("96")
    paint_again(quick)
    heading = quick.get_by_role("heading", level=1)
    expect(heading).to_contain_text("sea in the style of wave (2)")
    expect(heading).to_contain_text("done")
    expect(quick.get_by_text(re.compile("^96x[0-9]+ pixels"))).to_be_visible()
    windows.expected.append("404 (Not Found)")
    other = windows.open()
    other.goto(quick.url)
    for answer in ("Keep it", "Delete for good"):
        quick.get_by_text("More", exact=True).click()
        quick.get_by_role("link", name="Delete").click()
        quick.get_by_role("main").get_by_text(answer).click()
    expect(quick.get_by_role("heading", name="Gallery")).to_be_visible()
    expect(quick.get_by_role("article")).to_have_count(1)
    assert not (site.root / "outbox/sea-wave-2").exists()
    assert (site.root / "outbox/sea-wave/final.png").exists()
    other.bring_to_front()
    expect(other.get_by_text("there is no such job")).to_be_visible(timeout=1000)


def test_a_favorite_goes_into_the_trash_and_comes_back(quick: Page, site: Site) -> None:
    open_job(quick)
    quick.get_by_role("button", name="Favorite").click()
    expect(quick.get_by_role("button", name="★ Favorite")).to_be_visible()
    quick.get_by_text("More", exact=True).click()
    quick.get_by_role("link", name="Delete").click()
    expect(quick.get_by_text("It is a favorite.")).to_be_visible()
    quick.get_by_role("button", name="Move to the trash").click()
    expect(quick.get_by_text("No jobs")).to_be_visible()
    quick.get_by_role("link", name="trash 1").click()
    expect(quick.get_by_text("moved into the trash")).to_be_visible()
    quick.get_by_role("checkbox").check()
    quick.get_by_role("button", name="Restore", exact=True).click()
    quick.get_by_role("link", name="favorites 1").click()
    quick.get_by_role("article").get_by_role("link").last.click()
    expect(quick.get_by_role("heading", level=1)).to_contain_text("sea in the style of wave")
    assert (site.root / "outbox/sea-wave/final.png").exists()
