"""A photograph is shown small in every style; a tap on one paints it large."""

import json
import re

from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect
from tests.browser.site import CONFIG, Site, until
from tests.browser.viewer import Windows, barriers, drop, finished, give_pair, see, start

STYLES = 14
QUICK = ("--set", "backends.sketch.seconds_per_step=0.01", "--set", "steps=20")


def tap_twice(page: Page, button: Locator) -> None:
    """Tap a preview twice while its upload takes a while: it is sent once."""
    held = list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/jobs", hold)
    button.dblclick(timeout=20_000)
    page.wait_for_timeout(700)
    (upload,) = held
    upload.continue_()
    page.unroute("**/jobs")


def test_a_photograph_is_seen_in_every_style_and_painted_large_by_a_tap(
    site: Site, windows: Windows
) -> None:
    (site.root / "library").mkdir()
    for number in range(STYLES):
        (site.root / f"library/tiles {number:02}.jpg").write_bytes(site.wave.read_bytes())
    with Image.open(site.sea) as small:
        small.resize((320, 240)).save(site.sea)
    site.start(*QUICK, "--set", "pairing.styles=library")
    page = windows.open()
    page.goto(site.url)
    page.locator("#content").set_input_files(site.sea)
    cells = page.get_by_role("list", name="The photograph in every style").get_by_role("listitem")
    expect(cells).to_have_count(12)
    expect(cells.nth(11).locator("img")).to_have_attribute("src", re.compile("library/small"))
    expect(page.get_by_text("Choose one")).to_be_visible()
    see(cells.nth(11).locator("img"))
    assert not barriers(page)
    page.get_by_role("button", name="More styles").click()
    expect(cells).to_have_count(STYLES)
    expect(page.get_by_role("button", name="More styles")).to_be_hidden()
    tap_twice(page, cells.nth(13).get_by_role("button"))
    expect(cells.nth(13)).to_contain_text("tiles 13: started")
    expect(page.get_by_text("sea-tiles 13 was added to the queue.")).to_be_visible()
    page.get_by_role("link", name="See it being painted").click()
    expect(page.get_by_role("heading", name="Running")).to_be_in_viewport()
    see(finished(page, "sea in the style of tiles 13").get_by_role("img").first)
    expect(page.locator("#message")).to_be_hidden()
    until(lambda: not any((site.root / "state/tries").iterdir()))
    cells.nth(12).get_by_role("button").click()
    see(finished(page, "sea in the style of tiles 12").get_by_role("img").first)
    receipts = [json.loads(path.read_text()) for path in site.root.rglob("receipt.json")]
    made = [(each["settings"]["preview"], each["size"]) for each in receipts]
    assert made == [("160", [320, 240])] * 2


def test_a_try_ends_with_its_page(site: Site, windows: Windows) -> None:
    (site.root / "library").mkdir()
    (site.root / "library/tiles.jpg").write_bytes(site.wave.read_bytes())
    site.start("--set", "pairing.styles=library")
    tries = site.root / "state/tries"
    page = windows.open()
    page.goto(site.url)
    give_pair(page, site)
    expect(page.locator("#message")).to_contain_text("added to the queue")
    page.locator("#content").set_input_files(site.sea)
    expect(page.locator("#message")).to_be_hidden()
    page.get_by_role("button", name="See it in every style").click()
    expect(page.get_by_text(re.compile("more to come"))).to_be_visible()
    page.close()
    until(lambda: not any(tries.iterdir()))
    until(lambda: len([*site.root.rglob("receipt.json")]) == 1)


def test_previews_are_of_what_is_in_the_form_however_it_came_there(
    site: Site, windows: Windows
) -> None:
    (site.root / "library").mkdir()
    (site.root / "library/tiles.jpg").write_bytes(site.wave.read_bytes())
    with_preview = CONFIG.replace("recipe: gatys", "recipe: gatys, preview: 96")
    (site.root / "config.yaml").write_text(with_preview)
    library = ("--set", "pairing.styles=library", "--set", "pairing.default_style=tiles")
    site.start(*QUICK, *library)
    page = windows.open()
    page.goto(site.url)
    (site.root / "library/zebra.jpg").write_bytes(site.sea.read_bytes())  # newer than the page
    photograph = "[data-well]:has(#content)"
    cells = page.get_by_role("list", name="The photograph in every style").get_by_role("listitem")
    for choose in (
        lambda: drop(page, photograph, site.sea),
        lambda: page.locator("#content").set_input_files(site.wave),
        lambda: drop(page, photograph, site.sea),
    ):
        choose()
        expect(cells).to_have_count(2)
        expect(page.get_by_text("Choose one")).to_be_visible()
    page.locator("#strength").fill("0.2")
    expect(cells).to_have_count(0)
    page.get_by_role("button", name="See it in every style").click()
    cells.filter(has_text="zebra").get_by_role("button").click(timeout=20_000)
    see(finished(page, "sea in the style of zebra").get_by_role("img").first)
    (receipt,) = (json.loads(path.read_text()) for path in site.root.rglob("receipt.json"))
    assert (receipt["settings"]["preview"], receipt["settings"]["strength"]) == ("160", 0.2)
    assert [each["role"] for each in receipt["inputs"]] == ["content", "style-1"]
    drop(page, photograph, site.sea)
    expect(page.get_by_text("Choose one")).to_be_visible()
    drop(page, "[data-well]:has(#style)", site.wave)
    expect(page.get_by_role("button", name="See it in every style")).to_be_hidden()


def test_a_try_ends_if_the_form_is_changed_before_it_has_begun(
    site: Site, windows: Windows
) -> None:
    (site.root / "library").mkdir()
    (site.root / "library/tiles.jpg").write_bytes(site.wave.read_bytes())
    site.start(*QUICK, "--set", "pairing.styles=library")
    page = windows.open()
    page.goto(site.url)
    held = list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/tries", hold)
    page.locator("#content").set_input_files(site.sea)
    until(lambda: bool(page.wait_for_timeout(20) or held))
    page.locator("#strength").fill("0.9")
    with page.expect_response("**/tries/*/end"):
        held[0].continue_()
    until(lambda: not any((site.root / "state/tries").iterdir()))
    cells = page.get_by_role("list", name="The photograph in every style").get_by_role("listitem")
    expect(cells).to_have_count(0)
    page.unroute("**/tries")
    page.get_by_role("button", name="See it in every style").click()
    expect(cells).to_have_count(1)
    start(page)
    expect(page.locator("#message")).to_contain_text("choose at least one style image")
    windows.expected.append("400 (Bad Request)")
    see(cells.first.locator("img"))
    expect(page.get_by_text("Choose one")).to_be_visible()
