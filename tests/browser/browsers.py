"""The browser of the tests: an installed Chromium, which reaches no other host."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

OPTIONS = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-pings",
)
"""No host name but 127.0.0.1 is resolved."""


def program() -> str | None:
    """The path of the browser; None where it is not installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def started() -> Iterator[Browser]:
    """A headless browser; raises playwright's Error where it does not start."""
    is_sandboxed = os.geteuid() != 0  # not possible for root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program(),
            args=list(OPTIONS),
            chromium_sandbox=is_sandboxed,
            ignore_default_args=["--disable-back-forward-cache"],  # viewers have it
        )
        yield browser
        browser.close()


def obstacle() -> str | None:
    """The reason why the browser cannot be started here; None where that works."""
    if program() is None:
        return "chromium is not installed (on Debian: apt-get install chromium)"
    try:
        with started() as browser:
            browser.new_page().goto("about:blank")
    except Error as error:
        return f"chromium does not start: {error.message.splitlines()[0]}"
    return None
