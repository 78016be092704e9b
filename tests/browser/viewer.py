"""A viewer's browser windows: what they request and report, and what a viewer does in them."""

import base64
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Route,
    expect,
)
from tests.browser.site import Site

TIMEOUT_MS = 30_000

WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 390, "height": 844}

PAIR = "sea in the style of wave"
"""Heading of the job that is made of the pair of a site."""


@dataclass
class Windows:
    """Opens windows, and records their requests and the errors that they report."""

    browser: Browser
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Parts of messages that a test causes."""
    contexts: list[BrowserContext] = field(default_factory=list)

    def open(self, script: bool = True, **options: Any) -> Page:
        """Open a window without cookies, with scripts or without, WIDE and light by default."""
        options = {"viewport": WIDE, "color_scheme": "light", "reduced_motion": "reduce", **options}
        context = self.browser.new_context(java_script_enabled=script, **options)
        context.set_default_timeout(TIMEOUT_MS)
        self.contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._record)
        page.on("pageerror", lambda error: self.messages.append(f"not caught: {error}"))
        return page

    def close(self) -> None:
        """Close them all."""
        for context in self.contexts:
            context.close()

    @property
    def foreign_requests(self) -> list[str]:
        """Requests to other hosts."""
        ours = re.compile("data:|blob:|http://127.0.0.1:")
        return [url for url in self.requests if not ours.match(url)]

    @property
    def errors(self) -> list[str]:
        """All messages but the expected ones."""
        return [text for text in self.messages if not any(part in text for part in self.expected)]

    def _record(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.messages.append(f"{message.text} ({message.location.get('url')})")


def barriers(page: Page) -> list[str]:
    """Run axe-core; return each rule that is broken, with the place."""
    script = files("axe_playwright_python") / "axe.min.js"
    page.evaluate(script.read_text(encoding="utf-8"))
    report = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']} ({rule['help']}): {' '.join(node['target'])}: {node['html']}"
        for rule in report["violations"]
        for node in rule["nodes"]
    ]


_DROP = """
([files, selector]) => {
    const dataTransfer = new DataTransfer();
    for (const [name, text] of files) {
        const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
        dataTransfer.items.add(new File([bytes], name, {type: "image/jpeg"}));
    }
    for (const type of ["dragenter", "dragover", "drop"]) {
        const event = new DragEvent(type, {dataTransfer, bubbles: true, cancelable: true});
        document.querySelector(selector).dispatchEvent(event);
    }
}
"""


def drop(page: Page, selector: str, *paths: Path) -> None:
    """Drag files over the page, and drop them onto the element that `selector` names."""
    contents = [(path.name, base64.b64encode(path.read_bytes()).decode("ascii")) for path in paths]
    page.evaluate(_DROP, [contents, selector])


def give(page: Page, content: Path, *styles: Path) -> None:
    """Choose a content image and style images, and submit them."""
    page.locator("#content").set_input_files(content)
    page.locator("#style").set_input_files(list(styles))
    start(page)


def give_pair(page: Page, site: Site) -> None:
    """Submit the pair of `site`, whose job is called sea-wave, with the heading PAIR."""
    give(page, site.sea, site.wave)


def start(page: Page) -> None:
    page.get_by_role("button", name="Start").click()


def job_in(region: str, role: Any, page: Page, job: str = PAIR) -> Locator:
    """The job in a part of the first page."""
    items = page.get_by_role("region", name=region).get_by_role(role)
    return items.filter(has=page.get_by_text(job, exact=True))


running = partial(job_in, "Running", "article")
finished = partial(job_in, "Recently finished", "article")
refused = partial(job_in, "Failed or refused", "listitem")


def see(picture: Locator) -> None:
    """Wait until the first of these pictures is loaded, not a blank; a newer one will do, too."""
    picture = picture.first
    picture.scroll_into_view_if_needed()
    until = time.monotonic() + TIMEOUT_MS / 1000
    while not picture.evaluate("image => image.complete && image.naturalWidth > 1"):
        assert time.monotonic() < until, f"{picture} does not appear"
        picture.page.wait_for_timeout(50)


def see_stages(page: Page, count: int, job: str = PAIR) -> list[int]:
    """Watch a job until `count` stages were seen; return their steps, in order."""
    picture, seen = running(page, job).get_by_role("img").first, list[int]()
    while len(seen) < count:
        last = f"step {seen[-1]}$" if seen else "photograph"
        expect(picture).not_to_have_attribute("alt", re.compile(last))
        step = re.search(r"after step (\d+)$", picture.get_attribute("alt") or "")
        if step and int(step[1]) not in seen:
            see(picture)
            seen.append(int(step[1]))
    return seen


def answer_in_turn(page: Page, url: str, *answers: Callable[[Route], object]) -> None:
    """Answer requests one after the other; those after the last answer reach the site.

    One route serves them all: a second one may not count yet while the first is being removed.
    """
    left = [*answers]

    def answer(route: Route) -> None:
        following = left.pop(0) if left else Route.continue_
        following(route)

    page.route(url, answer)
