"""A pair of pictures becomes a job, which is watched as it is painted."""

import json
import re

from playwright.sync_api import Page, expect
from tests.browser.hands import drop, easel, finished, give, not_painted, see, send, stages
from tests.browser.site import Site
from tests.browser.windows import Windows


def test_two_files_that_are_dropped_become_a_job_whose_stages_come_by_themselves(
    page: Page, site: Site
) -> None:
    page.evaluate("window.neverLoadedAgain = true")
    drop(page, "main", site.root / "sea.jpg", site.root / "wave.jpg")
    expect(page.locator("[data-well]").first).to_contain_text("sea.jpg")
    expect(page.locator("[data-well]").last).to_contain_text("wave.jpg")
    send(page)
    expect(page.get_by_text("sea-wave was added to the queue.")).to_be_visible()
    seen = stages(page, "sea-wave", 3)
    assert seen == sorted(set(seen))
    see(finished(page, "sea-wave").get_by_role("img"))
    expect(easel(page, "sea-wave")).to_have_count(0)
    assert page.evaluate("window.neverLoadedAgain")
    assert site.painted == ["sea-wave"]


def test_progress_time_left_and_losses_are_shown_while_it_is_painted(
    page: Page, site: Site
) -> None:
    give(page, site.root / "sea.jpg", site.root / "wave.jpg")
    painting = easel(page, "sea-wave")
    expect(painting.get_by_text(re.compile(r"step \d+ of 60"))).to_be_visible()
    expect(painting.get_by_text(re.compile(r"\d+ s left"))).to_be_visible()
    expect(painting.get_by_role("img", name=re.compile(r"^loss .*%.* less"))).to_be_visible()
    progress = painting.get_by_role("progressbar")
    expect(progress).to_have_attribute("value", re.compile(r"[1-9]\d*"))
    expect(progress).to_have_accessible_name("Progress of sea-wave")


def test_each_file_goes_into_the_well_that_it_is_dropped_on(page: Page, site: Site) -> None:
    drop(page, "[data-well]:has(#style)", site.root / "sea.jpg")
    drop(page, "[data-well]:has(#content)", site.root / "wave.jpg")
    send(page)
    see(easel(page, "wave-sea").get_by_role("img").first)


def test_what_is_chosen_for_a_job_holds(page: Page, site: Site) -> None:
    page.get_by_text("Options").click()
    page.get_by_label("Recipe", exact=True).select_option("devos")
    page.get_by_label("Size").fill("32")
    page.get_by_label("Backend").select_option("sketch")
    page.get_by_label("Name").fill("by-hand")
    give(page, site.root / "sea.jpg", site.root / "wave.jpg")
    see(finished(page, "by-hand").get_by_role("img"))
    receipt = json.loads((site.root / "outbox/by-hand/receipt.json").read_bytes())
    assert receipt["recipe"]["name"] == "devos"
    assert receipt["backend"]["name"] == "sketch"
    assert receipt["size"] == [32, 24]


def test_a_wish_that_cannot_be_met_is_told_at_the_form_which_keeps_the_pictures(
    page: Page, site: Site, windows: Windows
) -> None:
    page.get_by_text("Options").click()
    page.get_by_label("Size").fill("enormous")
    give(page, site.root / "sea.jpg", site.root / "wave.jpg")
    expect(page.locator("#message")).to_contain_text("size")
    windows.forget("400 (Bad Request)")
    expect(page.locator("[data-well]").first).to_contain_text("sea.jpg")
    page.get_by_label("Size").fill("32")
    send(page)
    expect(page.get_by_text("sea-wave was added")).to_be_visible()


def test_what_is_no_picture_is_refused_with_its_reason_and_can_be_tried_again(
    page: Page, site: Site
) -> None:
    (site.root / "note.jpg").write_text("no picture")
    give(page, site.root / "note.jpg", site.root / "wave.jpg")
    refused = not_painted(page, "note-wave")
    expect(refused).to_contain_text("content.jpg holds text")
    refused.get_by_role("button", name="Retry").click()
    page.wait_for_url("**/jobs/*")
    expect(page.get_by_role("heading", level=1)).to_contain_text("refused")
    expect(page.get_by_text("retry of")).to_be_visible()


def test_half_a_pair_is_shown_with_what_it_waits_for(page: Page, site: Site) -> None:
    (site.root / "sea.jpg").rename(site.root / "inbox/lone.content.jpg")
    halves = page.get_by_role("region", name="Incomplete")
    expect(halves).to_contain_text("lone")
    (site.root / "wave.jpg").rename(site.root / "inbox/lone.style.jpg")
    see(easel(page, "lone").get_by_role("img").first)
    expect(halves).to_have_count(0)
