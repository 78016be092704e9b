"""The page can be used without seeing it, by keys, on a telephone, and without scripts."""

import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, expect
from tests.browser.many_done import repeat
from tests.browser.site import Site, until
from tests.browser.viewer import (
    NARROW,
    PAIR,
    WIDE,
    Windows,
    barriers,
    finished,
    give,
    give_pair,
    refused,
    running,
    see,
)

MANY = 30
"""Finished jobs, more than a page of the gallery has."""

OVERHANG = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
"""Pixels by which a page is wider than its window."""

WALL = "getComputedStyle(document.documentElement).getPropertyValue('--wall')"
"""The background of a page, which is dark in the dark."""

HIDDEN = """
let hidden = false;
Object.defineProperty(document, "hidden", {get: () => hidden});
window.hide = (value) => { hidden = value; document.dispatchEvent(new Event("visibilitychange")); };
"""
"""Hides a tab or shows it again by `hide`: no tab of a headless browser is hidden by itself."""

PATHS = ("", "gallery?name=holiday&from=2020-01-01&sort=name", "gallery?name=nobody",
         *(f"gallery?state={state}" for state in ("done", "refused", "failed", "trash")),
         "health",
         "nowhere", "jobs/sea-wave-2", "jobs/note-wave", "jobs/sea-wave")  # fmt: skip
"""Pages of all kinds, with a running, a done and a refused job."""


@pytest.fixture(scope="module")
def furnished(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon with jobs that run, wait, are done, were refused, or are incomplete."""
    folder = tmp_path_factory.mktemp("furnished")
    with closing(Site.made(folder)) as site, closing(Windows(browser)) as windows:
        page, note = windows.open(), folder / "note.jpg"
        note.write_text("no picture")
        site.start("--set", "steps=10")
        page.goto(site.url)
        give_pair(page, site)
        see(finished(page).get_by_role("img"))
        site.end()
        repeat(site.root, MANY)
        site.start("--set", "steps=100000", "--set", "save_every=10")
        page.goto(site.url)
        give(page, note, site.wave)
        expect(refused(page, "note-wave")).to_be_visible()
        for name in ("sea-wave-2", "sea-wave-3"):
            give_pair(page, site)
            expect(page.get_by_text(f"{name} was added")).to_be_visible()
        (folder / "styles").mkdir()
        (folder / "styles/great wave.jpg").write_bytes(site.wave.read_bytes())
        (folder / "styles/great wave.txt").write_text("Hokusai, 1831")
        (folder / "half.jpg").write_bytes(site.sea.read_bytes())
        (folder / "half.jpg").rename(folder / "inbox/lone.content.jpg")
        see(running(page, f"{PAIR} (2)").get_by_role("img").first)
        until(lambda: site.step > 10)
        expect(page.get_by_role("region", name="Incomplete")).to_be_visible()
        page.close()
        yield site


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_page_has_barriers_or_is_wider_than_its_window(
    furnished: Site, windows: Windows, size: dict[str, int], scheme: str
) -> None:
    page = windows.open(viewport=size, color_scheme=scheme)
    problems = []
    page.goto(f"{furnished.url}jobs/sea-wave")
    job = page.url
    assert page.evaluate(WALL) == {"light": "#f5f3ee", "dark": "#171614"}[scheme]
    for path in (*PATHS, "again", "delete"):
        page.goto(f"{job}/{path}" if path in ("again", "delete") else furnished.url + path)
        for more in page.locator("summary").all():
            more.click()
        problems += [f"{path}: {barrier}" for barrier in barriers(page)]
        if (pixels := page.evaluate(OVERHANG)) > 0:
            problems.append(f"{path} is {pixels} pixels too wide")
    windows.expected.append("404")
    assert not problems


def test_the_page_is_used_by_keys_alone_and_the_focus_stays_while_it_changes(
    furnished: Site, windows: Windows
) -> None:
    page = windows.open()
    page.goto(furnished.url)
    missing = {"Skip to the content", "Pause", f"Finish now {PAIR} (2)", f"Cancel {PAIR} (2)",
               "Start", "Paint again note-wave"}  # fmt: skip
    for _ in range(80):
        page.keyboard.press("Tab")
        text = page.evaluate("document.activeElement.textContent")
        missing.discard(" ".join(text.split()))
    assert not missing
    page = windows.open()  # the keys may have left the other one for the browser's own buttons
    page.goto(furnished.url)
    cancel = page.get_by_role("button", name=f"Cancel {PAIR} (2)")
    cancel.focus()
    progress = page.get_by_text("of 100000")
    expect(progress).not_to_have_text(str(progress.text_content()))
    expect(cancel).to_be_focused()


def test_hidden_tabs_leave_the_connections_of_the_browser_to_others(
    furnished: Site, windows: Windows
) -> None:
    context = windows.open().context
    context.add_init_script(HIDDEN)
    first = context.new_page()
    for tab in (first, *(context.new_page() for _ in range(6))):
        tab.goto(furnished.url)
        tab.evaluate("hide(true)")
    progress = first.get_by_text("of 100000")
    before = str(progress.text_content())
    first.evaluate("hide(false)")
    expect(progress).not_to_have_text(before)


def test_without_scripts_all_can_be_read(furnished: Site, windows: Windows) -> None:
    page = windows.open(script=False)
    page.goto(furnished.url)
    expect(page.get_by_text("of 100000")).to_be_visible()
    page.get_by_role("link", name="Gallery", exact=True).click()
    page.get_by_role("link", name="Next page").click()
    page.get_by_role("article").last.get_by_role("link").last.click()
    compared = page.get_by_role("region", name="Photograph and output")
    expect(compared.get_by_role("img", name=re.compile(", output$"))).to_be_visible()
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)  # scripts show it
