"""What a viewer may ask: to end a painting, to finish it, to paint it again, to pause."""

import re

from playwright.sync_api import Page, expect
from tests.browser.hands import easel, finished, give, see, stages
from tests.browser.site import Site, until


def test_a_painting_is_cancelled_once_its_viewer_is_sure_and_can_be_tried_again(
    page: Page, site: Site
) -> None:
    give(page, site.root / "sea.jpg", site.root / "wave.jpg")
    cancel = easel(page, "sea-wave").get_by_role("button", name="Cancel sea-wave")
    page.once("dialog", lambda dialog: dialog.dismiss())
    cancel.click()
    stages(page, "sea-wave", 1)
    page.once("dialog", lambda dialog: dialog.accept())
    cancel.click()
    expect(easel(page, "sea-wave")).to_have_count(0)
    page.get_by_role("link", name="Gallery", exact=True).click()
    page.get_by_role("link", name=re.compile("cancelled")).click()
    page.get_by_role("button", name="Retry sea-wave").click()
    page.wait_for_url("**/jobs/*")
    expect(page.get_by_role("heading", level=1)).to_contain_text("done")
    assert site.painted == ["sea-wave-2"]


def test_a_painting_is_finished_as_it_stands(page: Page, site: Site) -> None:
    give(page, site.root / "sea.jpg", site.root / "wave.jpg")
    stages(page, "sea-wave", 1)
    easel(page, "sea-wave").get_by_role("button", name="Finish now").click()
    see(finished(page, "sea-wave").get_by_role("img"))
    assert len(list((site.root / "outbox/sea-wave/stages").iterdir())) < 12


def test_nothing_is_begun_while_paused_and_goes_on_after(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Pause").click()
    go_on = page.get_by_role("button", name="Resume")
    expect(go_on).to_be_visible()
    give(page, site.root / "sea.jpg", site.root / "wave.jpg")
    expect(page.get_by_role("region", name="Queue")).to_contain_text("sea-wave")
    expect(page.get_by_role("heading", name="Running").locator("..")).to_contain_text("Paused")
    go_on.click()
    see(easel(page, "sea-wave").get_by_role("img").first)
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_what_one_viewer_does_all_others_see(page: Page, site: Site) -> None:
    other = page.context.new_page()
    other.goto(site.url)
    page.get_by_role("button", name="Pause").click()
    expect(other.get_by_role("button", name="Resume")).to_be_visible()
    other.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    until(lambda: not site.published["health"]["paused"])
