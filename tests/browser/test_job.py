"""The page of a job: before and after, its stages by a slider, its loss, its log."""

import re

from playwright.sync_api import Page, expect
from tests.browser.site import Site
from tests.browser.viewer import NARROW, PAIR, Windows, barriers, give_pair, see
from tests.painter.films import film

STEPS = 60
"""Steps of a job: the picture after the last one is the output."""

FEWER_STAGES = """
import("/static/job.js").then(({ stages }) => {
    document.querySelector("[data-step]").parentElement.remove();
    stages();
})
"""
"""Leaves out the first stage, as the page does while there are more and more stages."""


def test_the_page_of_a_job_follows_it_and_its_stages_are_browsed_by_keys(
    page: Page, site: Site
) -> None:
    give_pair(page, site)
    page.get_by_role("link", name=PAIR, exact=True).first.click()
    page.wait_for_url("**/jobs/*")
    slider, strip = page.get_by_label("Stage", exact=True), page.get_by_label("All stages, small")
    expect(strip.get_by_role("listitem")).to_have_count(3)
    expect(slider).to_have_attribute("aria-valuetext", re.compile("step (15|20)"))
    slider.press("Home")
    expect(page.get_by_role("heading", level=1)).to_contain_text("done")
    expect(strip.get_by_role("listitem")).to_have_count(12)
    expect(slider).to_have_attribute("aria-valuetext", "step 5")
    picture = page.locator(".after img")
    for key, step in (("ArrowRight", 10), ("End", 60), ("Home", 5)):
        slider.press(key)
        expect(slider).to_have_attribute("aria-valuetext", f"step {step}")
        shown = f"{PAIR}, output" if step == STEPS else f"{PAIR} after step {step}"
        expect(picture).to_have_attribute("alt", shown)
        see(picture)
    slider.press("ArrowRight")
    page.evaluate(FEWER_STAGES)
    expect(slider).to_have_attribute("aria-valuetext", "step 10")
    handle, pair, shots = page.get_by_label("Share of"), page.locator("[data-compare]"), []
    for key in ("Home", "End"):
        handle.press(key)
        shots.append(pair.screenshot())
    assert shots[0] != shots[1], "before and after"
    page.get_by_text("Loss", exact=True).click()
    expect(page.get_by_role("img", name=re.compile(r"^loss .* at step 60"))).to_be_visible()


def test_a_clip_is_followed_by_its_frames_and_plays(site: Site, windows: Windows) -> None:
    site.start("--set", "steps=4", "--set", "clip.format=webm")
    path = film(site.root / "pan.mp4", frames=24)
    site.drop("pan", path.read_bytes(), "content.mp4")
    page = windows.open(viewport=NARROW)
    page.goto(site.url)
    expect(page.get_by_text(re.compile(r"frame \d+ of 24"))).to_be_visible()
    page.get_by_role("link", name="pan", exact=True).first.click()
    page.wait_for_url("**/jobs/*")
    slider = page.get_by_label("Painted frame", exact=True)
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"frame ([2-9]|1\d|2[0-3])$"))
    see(page.locator(".after img"))
    expect(slider).to_have_attribute("aria-valuetext", "frame 24")
    page.wait_for_function("() => document.querySelector('video')?.readyState >= 2")
    assert not barriers(page)
