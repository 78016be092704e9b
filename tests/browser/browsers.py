"""The browsers of the tests: those that are installed here; they reach no other host."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, sync_playwright

PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome"),
    "firefox": ("firefox-esr", "firefox"),
}
"""The names of each browser's program."""

OPTIONS = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-pings",
)
"""Options of Chromium: no host name but 127.0.0.1 is resolved."""

PREFERENCES = {
    "network.proxy.type": 1,
    "network.proxy.socks": "127.0.0.1",
    "network.proxy.socks_port": 9,
    "network.proxy.socks_remote_dns": True,
    "network.proxy.no_proxies_on": "127.0.0.1",
    "ui.prefersReducedMotion": 1,  # no page can be told so, as in Chromium
}
"""Preferences of Firefox: all hosts but 127.0.0.1 are behind a proxy that is not there."""


def chosen() -> str:
    """The name of the browser that runs the tests."""
    return os.environ.get("STYLEWATCH_BROWSER", "chromium")


def program(name: str) -> str | None:
    """The path of a browser; None where it is not installed."""
    return next(filter(None, map(shutil.which, PROGRAMS[name])), None)


@contextmanager
def started(name: str = "chromium") -> Iterator[Browser]:
    """A headless browser; raises playwright's Error where it does not start."""
    is_sandboxed = os.geteuid() != 0  # not possible for root
    with sync_playwright() as playwright:
        if name == "firefox":
            browser = playwright.firefox.launch(
                executable_path=program(name),
                channel="moz-firefox",  # an unchanged Firefox, by its WebDriver BiDi
                firefox_user_prefs=dict(PREFERENCES),
            )
        else:
            browser = playwright.chromium.launch(
                executable_path=program(name), args=list(OPTIONS), chromium_sandbox=is_sandboxed
            )
        yield browser
        browser.close()


def obstacle(name: str = "chromium") -> str | None:
    """The reason why a browser cannot be started here; None where that works."""
    if program(name) is None:
        packages = {"chromium": "chromium", "firefox": "firefox-esr"}
        return f"{name} is not installed (on Debian: apt-get install {packages[name]})"
    try:
        with started(name) as browser:
            browser.new_page().goto("about:blank")
    except Error as error:
        return f"{name} does not start: {error.message.splitlines()[0]}"
    return None
