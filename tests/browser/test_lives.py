"""Neither the page nor its viewers are lost when its process is, and painting goes on."""

import os
import signal

from playwright.sync_api import Page, expect
from tests.browser.hands import easel, give, see, stages
from tests.browser.site import Site, until
from tests.browser.windows import Windows

LOST = "connection lost, trying again"


def test_a_killed_page_comes_back_and_its_viewers_with_it(
    page: Page, site: Site, windows: Windows
) -> None:
    give(page, site.root / "sea.jpg", site.root / "wave.jpg")
    seen = stages(page, "sea-wave", 1)
    killed = site.page_process
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    expect(page.get_by_text(LOST)).to_be_visible()
    expect(page.get_by_text(LOST)).to_have_count(0)
    until(lambda: site.page_process not in (None, killed))
    windows.forget("ERR_")
    (site.root / "inbox/second").mkdir()
    for half, name in (("content", "sea"), ("style", "wave")):
        picture = (site.root / f"{name}.jpg").read_bytes()
        (site.root / f"inbox/second/{half}.jpg").write_bytes(picture)
    assert stages(page, "second", 2) and seen
    assert "sea-wave" in site.painted


def test_when_the_daemon_leaves_its_viewers_are_told_and_find_the_next_one(
    page: Page, site: Site, windows: Windows
) -> None:
    site.end()
    expect(page.get_by_text(LOST)).to_be_visible()
    site.start()
    expect(page.get_by_text(LOST)).to_have_count(0)
    windows.forget("ERR_")
    give(page, site.root / "sea.jpg", site.root / "wave.jpg")
    see(easel(page, "sea-wave").get_by_role("img").first)
