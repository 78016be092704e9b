"""The page of a job: before and after, its stages by a slider, its losses, its receipt."""

import json
import re

import pytest
from playwright.sync_api import Page, expect
from tests.browser.site import Site
from tests.browser.viewer import Windows, barriers, give_pair, see
from tests.painter.films import film

STEPS = 60
"""Steps of a job: the picture after the last one is the output."""

STYLE_OF_PLAYWRIGHT = "sha256-YjaKGiklmzC6wjXA513HAMmzus8VE61XCOT+SmwNZWA="
"""Digest of the style `body {}`, which Playwright adds in Firefox for each screenshot."""


@pytest.fixture
def job(site: Site, page: Page) -> Page:
    """The page of a running job."""
    give_pair(page, site)
    page.get_by_role("link", name="sea-wave", exact=True).first.click()
    page.wait_for_url("**/jobs/*")
    return page


def test_the_page_of_a_job_follows_it_and_its_stages_are_browsed_by_keys(
    job: Page, site: Site
) -> None:
    slider, strip = job.get_by_label("Stage", exact=True), job.get_by_label("All stages, small")
    expect(strip.get_by_role("listitem")).to_have_count(3)
    expect(slider).to_have_attribute("aria-valuetext", re.compile("step (15|20)"))
    slider.press("Home")
    expect(job.get_by_role("heading", level=1)).to_contain_text("done")
    expect(strip.get_by_role("listitem")).to_have_count(12)
    expect(slider).to_have_attribute("aria-valuetext", "step 5")
    picture = job.locator(".after img")
    slider.focus()
    assert job.get_by_role("img", name="sea-wave, output").count() <= 1, "shown once"
    for key, step in (("ArrowRight", 10), ("ArrowRight", 15), ("End", 60), ("Home", 5)):
        job.keyboard.press(key)
        expect(slider).to_have_attribute("aria-valuetext", f"step {step}")
        shown = "sea-wave, output" if step == STEPS else f"sea-wave after step {step}"
        expect(picture).to_have_attribute("alt", shown)
        see(picture)
    expect(job.get_by_role("img", name=re.compile(r"^loss .* at step 60"))).to_be_visible()
    with job.expect_navigation():
        job.get_by_role("link", name="receipt.json").click()
    shown = json.loads(job.evaluate("document.body.innerText"))
    assert shown == json.loads((site.root / "outbox/sea-wave/receipt.json").read_bytes())


def test_stages_play_and_before_and_after_are_compared_by_keys(job: Page, windows: Windows) -> None:
    expect(job.get_by_role("heading", level=1)).to_contain_text("done")
    play = job.get_by_role("button", name="Play")
    play.click()
    slider = job.get_by_label("Stage", exact=True)
    expect(slider).to_have_attribute("aria-valuetext", re.compile("step (10|15|20)"))
    expect(play).to_have_attribute("aria-pressed", "false")
    expect(slider).to_have_attribute("aria-valuetext", "step 60")
    handle = job.get_by_label("Share of the content image")
    pair = job.locator("[data-compare]")
    for picture in pair.get_by_role("img").all():
        see(picture)
    windows.expected.append(STYLE_OF_PLAYWRIGHT)
    shots = []
    for key in ("Home", "End"):
        handle.press(key)
        shots.append(pair.screenshot())
    assert shots[0] != shots[1]
    handle.press("ArrowLeft")
    expect(handle).to_have_value("99")


def test_a_clip_is_followed_by_its_frames_and_plays(site: Site, windows: Windows) -> None:
    site.start("--set", "steps=4", "--set", "clip.format=webm")
    path = film(site.root / "pan.mp4", frames=24)
    site.drop("pan", path.read_bytes(), "content.mp4")
    page = windows.open()
    page.goto(site.url)
    expect(page.get_by_text(re.compile(r"frame \d+ of 24"))).to_be_visible()
    page.get_by_role("link", name="pan", exact=True).first.click()
    page.wait_for_url("**/jobs/*")
    slider = page.get_by_label("Painted frame", exact=True)
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"frame ([2-9]|1\d|2[0-3])$"))
    see(page.locator(".after img"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("done")
    expect(slider).to_have_attribute("aria-valuetext", "frame 24")
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    expect(page.get_by_role("img", name=re.compile(r"^loss .* at frame 24"))).to_be_visible()
    assert not barriers(page)


def test_the_keys_go_through_the_stages_and_the_log_tells_what_happened(
    job: Page, windows: Windows
) -> None:
    expect(job.get_by_role("heading", level=1)).to_contain_text("done")
    caption, last = job.locator(".after figcaption"), job.get_by_role("button", name="Play")
    for key, text in (("Home", "step 5"), ("ArrowRight", "step 10"), ("End", "output")):
        last.press(key)  # the focus may be anywhere but in a field
        expect(caption).to_have_text(text)
    log = job.get_by_role("region", name="Log").get_by_role("listitem")
    expect(log.first).to_contain_text("added to the queue")
    expect(log.nth(1)).to_contain_text("attempt 1 started on sketch")
    expect(log.last).to_have_text(re.compile("done$"))
    assert not barriers(job)
