"""The page of one job: before and after, its stages by a slider, its losses, its receipt."""

import json
import re

import pytest
from playwright.sync_api import Page, expect
from tests.browser.hands import give, see
from tests.browser.site import Site


@pytest.fixture
def job(site: Site, page: Page) -> Page:
    """The page of a job that is being painted."""
    give(page, site.root / "sea.jpg", site.root / "wave.jpg")
    page.get_by_role("link", name="sea-wave", exact=True).first.click()
    page.wait_for_url("**/jobs/*")
    return page


@pytest.fixture
def done(job: Page) -> Page:
    """The page of a job that was watched to its end."""
    expect(job.get_by_role("heading", level=1)).to_contain_text("done")
    return job


def test_the_page_of_a_job_follows_its_painting(job: Page) -> None:
    slider, strip = job.get_by_label("Stage", exact=True), job.get_by_label("All stages, small")
    expect(strip.get_by_role("listitem")).to_have_count(3)
    expect(slider).to_have_attribute("aria-valuetext", re.compile("step (15|20)"))
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "step 5")
    expect(job.get_by_role("heading", level=1)).to_contain_text("done")
    expect(strip.get_by_role("listitem")).to_have_count(12)
    expect(slider).to_have_attribute("aria-valuetext", "step 5")


def test_all_stages_are_seen_by_keys_alone(done: Page) -> None:
    slider, picture = done.get_by_label("Stage", exact=True), done.locator("[data-stage] img")
    slider.focus()
    for key, step in (("Home", 5), ("ArrowRight", 10), ("ArrowRight", 15), ("End", 60)):
        done.keyboard.press(key)
        expect(slider).to_have_attribute("aria-valuetext", f"step {step}")
        expect(picture).to_have_attribute("alt", f"sea-wave after step {step}")
        see(picture)


def test_the_stages_play_by_themselves(done: Page) -> None:
    play = done.get_by_role("button", name="Play")
    play.click()
    slider = done.get_by_label("Stage", exact=True)
    expect(slider).to_have_attribute("aria-valuetext", re.compile("step (10|15|20)"))
    expect(done.get_by_role("button", name="Play")).to_have_attribute("aria-pressed", "false")
    expect(slider).to_have_attribute("aria-valuetext", "step 60")


def test_before_and_after_are_compared_by_keys_alone(done: Page) -> None:
    handle = done.get_by_label("Share of the content image")
    pair = done.locator("[data-compare]")
    for picture in pair.get_by_role("img").all():
        see(picture)
    shots = []
    for key in ("Home", "End"):
        handle.press(key)
        shots.append(pair.screenshot())
    assert shots[0] != shots[1]
    handle.press("ArrowLeft")
    expect(handle).to_have_value("99")


def test_losses_and_receipt_are_told(done: Page, site: Site) -> None:
    expect(done.get_by_role("img", name=re.compile(r"^loss .* at step 60"))).to_be_visible()
    with done.expect_navigation():
        done.get_by_role("link", name="receipt.json").click()
    shown = json.loads(done.evaluate("document.body.innerText"))
    assert shown == json.loads((site.root / "outbox/sea-wave/receipt.json").read_bytes())
