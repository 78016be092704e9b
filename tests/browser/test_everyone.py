"""The page is for everyone: who does not see it, or uses keys, or a telephone, or no scripts."""

import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, expect
from tests.browser.axe import barriers
from tests.browser.furnished import MANY, furnish, pages
from tests.browser.hands import finished, give, see
from tests.browser.site import Site
from tests.browser.windows import NARROW, WIDE, Windows

SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
"""Pixels by which a page is wider than its window."""


@pytest.fixture(scope="module")
def furnished(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with closing(Site.made(tmp_path_factory.mktemp("furnished"))) as site:
        with closing(Windows(browser)) as windows:
            furnish(site, windows.open())
        yield site


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_page_keeps_anybody_out_or_is_wider_than_its_window(
    furnished: Site, windows: Windows, size: dict[str, int], scheme: str
) -> None:
    page = windows.open(viewport=size, color_scheme=scheme)
    found, wide = {}, {}
    for name, address in pages(furnished).items():
        page.goto(address)
        for more in page.locator("summary").all():
            more.click()
        found[name], wide[name] = barriers(page), page.evaluate(SIDEWAYS)
    windows.forget("404")
    assert not {name: told for name, told in found.items() if told}
    assert not {name: pixels for name, pixels in wide.items() if pixels > 0}


def test_all_of_the_page_is_reached_by_keys_alone(furnished: Site, windows: Windows) -> None:
    page = windows.open()
    page.goto(furnished.url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    wanted = {"Pause", "Finish now sea-wave-2", "Cancel sea-wave-2", "Start",
              "Retry note-wave"}  # fmt: skip
    for _ in range(60):
        page.keyboard.press("Tab")
        text = page.evaluate("document.activeElement.textContent")
        wanted.discard(" ".join(text.split()))
    assert not wanted


def test_what_has_the_focus_keeps_it_while_the_page_changes(
    furnished: Site, windows: Windows
) -> None:
    page = windows.open()
    page.goto(furnished.url)
    cancel = page.get_by_role("button", name="Cancel sea-wave-2")
    cancel.focus()
    words = page.get_by_text("of 100000").text_content()
    expect(page.get_by_text("of 100000")).not_to_have_text(str(words))
    expect(cancel).to_be_focused()


def test_without_scripts_all_can_be_read(furnished: Site, windows: Windows) -> None:
    page = windows.open(script=False)
    page.goto(furnished.url)
    expect(page.get_by_text("of 100000")).to_be_visible()
    expect(page.get_by_role("region", name="Failed or refused")).to_contain_text("holds text")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("link", name="Gallery", exact=True).click()
    expect(page.get_by_role("article")).to_have_count(24)
    page.get_by_role("link", name="Older").click()
    page.get_by_role("article").last.get_by_role("link").last.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("done")
    expect(page.get_by_role("img", name=re.compile(", content image$"))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile(", output$"))).to_be_visible()
    stage = page.get_by_role("link", name="step 10").get_attribute("href")
    assert page.request.get(furnished.url + str(stage).lstrip("/")).ok


def test_the_gallery_is_paged_and_shows_each_painting_once(
    furnished: Site, windows: Windows
) -> None:
    page = windows.open()
    page.goto(f"{furnished.url}gallery")
    names = page.get_by_role("article").get_by_role("heading").all_text_contents()
    for picture in page.get_by_role("article").get_by_role("img").all():
        see(picture)
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Newest")).to_be_visible()
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    names += page.get_by_role("article").get_by_role("heading").all_text_contents()
    assert len(names) == len(set(names)) == MANY + 1
    page.get_by_role("link", name="Newest").click()
    expect(page.get_by_role("article")).to_have_count(24)


def test_without_scripts_a_pair_can_be_given(site: Site, windows: Windows) -> None:
    site.start("--set", "steps=5")
    page = windows.open(script=False)
    page.goto(site.url)
    give(page, site.root / "sea.jpg", site.root / "wave.jpg")
    page.wait_for_url(site.url)
    while not site.painted:
        page.wait_for_timeout(100)
    page.reload()
    expect(finished(page, "sea-wave")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
