"""The page with a token, below a path, and after its process was killed."""

import os
import signal
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect
from tests.browser.site import Site, until
from tests.browser.viewer import Windows, barriers, finished, give_pair, running, see, see_stages

TOKEN = "what-nobody-could-guess-in-years"
LOST = "connection lost, trying again"


def test_the_token_opens_the_page_and_logging_out_closes_it(site: Site, windows: Windows) -> None:
    file = site.root / "token"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN}\n")
    site.start("--set", f"web.token_file={file}")
    page = windows.open()
    for token in ("a-word-that-is-not-the-token", TOKEN):
        page.goto(site.url)
        assert not barriers(page)
        page.get_by_label("Token").fill(token)
        page.get_by_role("main").get_by_role("button").click()
        if token != TOKEN:
            expect(page.get_by_text("wrong token")).to_be_visible()
    windows.expected.append("403")
    give_pair(page, site)
    see_stages(page, 2)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto(f"{site.url}gallery")
    expect(page.get_by_label("Token")).to_be_visible()
    assert not [url for url in windows.requests if TOKEN in url]
    assert TOKEN not in (site.root / "daemon.log").read_text()


ROOT = "/base"


def test_everything_works_below_a_path(site: Site, windows: Windows) -> None:
    site.start("--set", f"web.path={ROOT}")
    address = f"{site.url}{ROOT[1:]}/"
    page = windows.open()
    page.goto(address)
    give_pair(page, site)
    see_stages(page, 2)
    see(finished(page).get_by_role("img"))
    finished(page).get_by_role("link").first.click()
    page.wait_for_url(f"{address}jobs/*")
    see(page.locator(".after img"))
    page.get_by_role("link", name="Paint again").click()
    page.get_by_role("button", name="Paint again").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("sea-wave-2")
    page.get_by_role("link", name="stylewatch").click()
    see(running(page, "sea-wave-2").get_by_role("img").first)
    page.close()
    paths = {urlsplit(url).path for url in windows.requests if url.startswith("http")}
    assert not [path for path in paths if not path.startswith(f"{ROOT}/")]


def test_viewers_reconnect_to_a_page_that_was_killed_and_to_the_next_daemon(
    page: Page, site: Site, windows: Windows
) -> None:
    give_pair(page, site)
    see_stages(page, 1)
    killed = site.page_process
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    expect(page.get_by_text(LOST)).to_be_visible()
    expect(page.get_by_text(LOST)).to_have_count(0)
    until(lambda: site.page_process not in (None, killed))
    windows.expected.append("ERR_")
    see(finished(page).get_by_role("img"))
    site.end()
    expect(page.get_by_text(LOST)).to_be_visible()
    site.start()
    expect(page.get_by_text(LOST)).to_have_count(0)
    give_pair(page, site)
    assert see_stages(page, 2, "sea-wave-2")
