"""A pair of pictures becomes a job, which is followed, canceled and run again."""

import re

from playwright.sync_api import Page, expect
from tests.browser.site import Site
from tests.browser.viewer import Windows, drop, finished, give_pair, running, see, see_stages, start


def test_two_files_that_are_dropped_become_a_job_whose_stages_appear_by_themselves(
    page: Page, site: Site
) -> None:
    page.evaluate("window.neverLoadedAgain = true")
    drop(page, "main", site.sea, site.wave)
    expect(page.locator("[data-well]").first).to_contain_text("sea.jpg")
    expect(page.locator("[data-well]").last).to_contain_text("wave.jpg")
    start(page)
    expect(page.get_by_text("sea-wave was added to the queue.")).to_be_visible()
    job = running(page)
    expect(job.get_by_text(re.compile(r"step \d+ of 60"))).to_be_visible()
    expect(job.get_by_text(re.compile(r"\d+ s left"))).to_be_visible()
    expect(job.get_by_role("img", name=re.compile(r"^loss .* at step"))).to_be_visible()
    progress = job.get_by_role("progressbar")
    expect(progress).to_have_attribute("value", re.compile(r"[1-9]\d*"))
    expect(progress).to_have_accessible_name("Progress of sea-wave")
    seen = see_stages(page, 3)
    assert seen == sorted(seen)
    see(finished(page).get_by_role("img"))
    expect(job).to_have_count(0)
    assert page.evaluate("window.neverLoadedAgain")
    drop(page, "[data-well]:has(#style)", site.sea)
    drop(page, "[data-well]:has(#content)", site.wave)
    start(page)
    see(running(page, "wave-sea").get_by_role("img").first)


def test_a_wrong_option_is_reported_at_the_form_which_keeps_the_pictures(
    page: Page, site: Site, windows: Windows
) -> None:
    page.get_by_text("More settings").click()
    page.locator("#size").fill("enormous")
    page.get_by_label("Name").fill("by-hand")
    give_pair(page, site)
    expect(page.locator("#message")).to_contain_text("Size: should be 640")
    expect(page.locator("#message")).to_be_in_viewport()
    expect(page.locator("#size")).to_be_focused()
    expect(page.locator("#size-mistake")).to_contain_text("should be 640")
    expect(page.locator("#size")).to_have_attribute("aria-invalid", "true")
    windows.expected.append("400 (Bad Request)")
    expect(page.locator("[data-well]").first).to_contain_text("sea.jpg")
    page.locator("#size").fill("32")
    start(page)
    expect(page.locator("#size-mistake")).to_be_hidden()
    see(finished(page, "by-hand").get_by_role("img"))


def test_an_incomplete_pair_is_shown_until_its_files_are_removed(page: Page, site: Site) -> None:
    path = site.root / "inbox/lone.content.jpg"
    path.write_bytes(site.sea.read_bytes())
    pair = page.get_by_role("region", name="Incomplete").get_by_role("listitem")
    expect(pair).to_contain_text("waits for a style picture")
    path.unlink()
    expect(page.get_by_role("region", name="Incomplete")).to_have_count(0)


def test_a_job_is_canceled_after_a_question_and_can_be_tried_again(page: Page, site: Site) -> None:
    give_pair(page, site)
    cancel = running(page).get_by_role("button", name="Cancel sea-wave")
    page.once("dialog", lambda dialog: dialog.dismiss())
    cancel.click()
    see_stages(page, 1)
    page.once("dialog", lambda dialog: dialog.accept())
    cancel.click()
    expect(running(page)).to_have_count(0)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("link", name="Gallery", exact=True).click()
    page.get_by_role("link", name=re.compile("canceled")).click()
    page.get_by_role("button", name="Retry sea-wave").click()
    page.wait_for_url("**/jobs/*")
    page.get_by_role("button", name="Finish now").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("stopped early")
    assert site.painted == ["sea-wave-2"]
