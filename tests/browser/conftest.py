"""A daemon with its page, and a viewer's browser."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser import browsers
from tests.browser.site import Site
from tests.browser.viewer import TIMEOUT_MS, Windows

expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with browsers.started() as browser:
        yield browser


@pytest.fixture
def windows(browser: Browser) -> Iterator[Windows]:
    """Windows that contact no other host and report no error."""
    with closing(Windows(browser)) as windows:
        yield windows
    assert not windows.foreign_requests
    assert not windows.errors


@pytest.fixture
def site(pictures: Path) -> Iterator[Site]:
    """A folder with sea.jpg and wave.jpg, where a daemon can be started with its page."""
    with closing(Site(pictures)) as site:
        yield site


@pytest.fixture
def page(site: Site, windows: Windows) -> Page:
    """The first page of a daemon whose steps are slow enough to be watched."""
    site.start()
    page = windows.open()
    page.goto(site.url)
    return page
