"""A daemon with its page, and a viewer's browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser import chromium
from tests.browser.site import Site
from tests.browser.windows import PATIENCE_MS, Windows

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium.started() as browser:
        yield browser


@pytest.fixture
def windows(browser: Browser) -> Iterator[Windows]:
    """Windows, of which no one may ask another host for anything, nor complain."""
    windows = Windows(browser)
    yield windows
    windows.close()
    assert not windows.strangers
    assert not windows.errors


@pytest.fixture
def site(pictures: Path) -> Iterator[Site]:
    """A folder with sea.jpg and wave.jpg, where a daemon can be started with its page."""
    site = Site(pictures)
    yield site
    site.close()


@pytest.fixture
def page(site: Site, windows: Windows) -> Page:
    """The front page of a daemon whose steps are slow enough to be watched."""
    site.start()
    page = windows.open()
    page.goto(site.url)
    return page
