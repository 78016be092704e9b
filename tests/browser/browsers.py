"""The Chromium that is installed here, for tests and benchmarks; it reaches no other host."""

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
"""Options of Chromium: no host name but 127.0.0.1 is resolved."""


@contextmanager
def started() -> Iterator[Browser]:
    """Start a headless browser; raises playwright's Error if it does not start."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    is_sandboxed = os.geteuid() != 0  # not possible for root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=list(OPTIONS), chromium_sandbox=is_sandboxed
        )
        yield browser
        browser.close()


def obstacle() -> str | None:
    """Return the reason why a browser cannot be started here, if there is one."""
    if not any(map(shutil.which, PROGRAMS)):
        return "chromium is not installed (on Debian: apt-get install chromium)"
    try:
        with started() as browser:
            browser.new_page().goto("about:blank")
    except Error as error:
        return f"chromium does not start: {error.message.splitlines()[0]}"
    return None
