"""The ways to the page: with a token, and under a path of somebody else's server."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect
from tests.browser import proxy
from tests.browser.axe import barriers
from tests.browser.hands import easel, finished, give, see, stages
from tests.browser.site import Site
from tests.browser.windows import Windows

TOKEN = "what-nobody-could-guess-in-years"


def with_token(site: Site, windows: Windows) -> Page:
    """A page that asks for the token."""
    file = site.root / "token"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN}\n")
    site.start("--set", f"web.token_file={file}")
    page = windows.open()
    page.goto(site.url)
    return page


def come_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("main").get_by_role("button").click()


def test_who_says_the_token_comes_in_and_who_logs_out_is_out(site: Site, windows: Windows) -> None:
    page = with_token(site, windows)
    assert not barriers(page)
    come_in(page, TOKEN)
    give(page, site.root / "sea.jpg", site.root / "wave.jpg")
    stages(page, "sea-wave", 2)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto(f"{site.url}gallery")
    expect(page.get_by_label("Token")).to_be_visible()
    assert not [url for url in windows.requests if TOKEN in url]
    assert TOKEN not in (site.root / "daemon.log").read_text()


def test_who_says_another_word_stays_out(site: Site, windows: Windows) -> None:
    page = with_token(site, windows)
    come_in(page, "a-word-that-is-not-the-token")
    expect(page.get_by_text("wrong token")).to_be_visible()
    assert not barriers(page)
    page.goto(site.url)
    expect(page.get_by_label("Token")).to_be_visible()
    windows.forget("403")


@pytest.mark.parametrize("strips", [False, True], ids=["left in front", "taken away"])
def test_under_a_path_of_another_server_everything_works(
    site: Site, windows: Windows, strips: bool
) -> None:
    site.start("--set", f"web.path={proxy.UNDER}")
    with proxy.before(site.port, strips=strips) as address:
        page = windows.open()
        page.goto(address)
        give(page, site.root / "sea.jpg", site.root / "wave.jpg")
        stages(page, "sea-wave", 2)
        see(finished(page, "sea-wave").get_by_role("img"))
        finished(page, "sea-wave").get_by_role("link").first.click()
        page.wait_for_url(f"{address}jobs/*")
        see(page.locator("[data-stage] img"))
        page.get_by_role("button", name="Run again").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("sea-wave-2")
        page.get_by_role("link", name="stylewatch").click()
        see(easel(page, "sea-wave-2").get_by_role("img").first)
        page.close()
    paths = {urlsplit(url).path for url in windows.requests if url.startswith("http")}
    assert not [path for path in paths if not path.startswith(f"{proxy.UNDER}/")]
