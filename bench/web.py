"""Cost of the page, and the delay until it shows news: `make bench-web`.

A daemon with thousands of finished jobs paints with the backend `sketch`. Measured are the first
paints of a fresh Chromium, what fifty viewers cost the page's process and the daemon while a
painting grows, and the seconds from a stage's file to its picture on the page. CPU is what /proc
says, in percent of a core: what other programs take does not count, though they may make all of it
slower.
"""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

from bench.common import cpu_seconds
from bench.rows import Measure, Reading, Row, command_line, measured
from playwright.sync_api import Browser, Page
from tests.browser import browsers
from tests.browser.many_done import repeat
from tests.browser.site import Site, until
from tests.browser.viewer import finished, give, running, see

JOBS, VIEWERS = 10_000, 50

PAINTS, ROUNDS, STAGES = 11, 3, 20
"""How often each is measured, after one more that warms up."""

ROUND_S = 8.0
"""Seconds for which the CPU is looked at."""

PATIENCE_MS = 600_000

GROWING = ("--set", "steps=100000", "--set", "save_every=15", "--set", "size=512")
"""A painting with ten steps a second, and so a stage in a second and a half."""

AGAIN = "sea-wave-2"
"""The job of that painting, the second of its pictures."""

PAINTED = '() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime'
"""When the first content was painted, in milliseconds."""

ARRIVALS = """
window.arrivals = [];
document.addEventListener("load", (event) => {
    const step = /after step ([0-9]+)$/.exec(event.target.alt ?? "");
    if (step) arrivals.push([Number(step[1]), Date.now() / 1000]);
}, true);
"""

STAGE = re.compile(rb'src=\\"/(jobs/[^"\\]+/pictures/stage-[^"\\]+)\\"')
"""The address of a stage in an event."""


@dataclass(frozen=True)
class Setting:
    """A temporary folder, and a browser."""

    scratch: Path
    browser: Browser


def many(setting: Setting) -> Iterator[Reading]:
    """Yield what the page costs and how late it is, with many finished jobs."""
    (root := setting.scratch / "many").mkdir()
    with closing(Site.made(root)) as site:
        site.start("--set", "steps=10")
        page = setting.browser.new_page()
        page.goto(site.url)
        give(page, site.sea, site.wave)
        see(finished(page).get_by_role("img"))
        site.end()
        repeat(root, JOBS)
        site.start(*GROWING)
        first_paint(setting.browser, site)  # which makes small pictures, which stay
        for _ in range(PAINTS):
            yield "paint_s", first_paint(setting.browser, site)
        page.goto(site.url)
        give(page, site.sea, site.wave)
        see(running(page, AGAIN).get_by_role("img").first)
        yield from arrivals(page, site)
        page.close()
        yield from shares(site, [], "_alone")
        yield from shares(site, [Viewer(site.url) for _ in range(VIEWERS)], "")


def first_paint(browser: Browser, site: Site) -> float:
    """Return the seconds of the first paint with content, by a browser that never saw the page."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(site.url, wait_until="load")
    seconds = page.wait_for_function(PAINTED).json_value() / 1000
    context.close()
    return float(seconds)


def arrivals(page: Page, site: Site) -> Iterator[Reading]:
    """Yield the seconds from when each stage has its name to when its picture is loaded."""
    page.evaluate(ARRIVALS)
    page.wait_for_function(f"() => arrivals.length > {STAGES}", timeout=PATIENCE_MS)
    for step, when in page.evaluate("arrivals")[1:]:  # the first one may have been there before
        (file,) = (site.root / "outbox" / AGAIN / "stages").glob(f"*{step}.png")
        yield "stage_s", when - file.stat().st_ctime


class Viewer(Thread):
    """A viewer without a browser, who follows the events and fetches every stage.

    The viewer stays until the page ends; `events` counts what it got so far.
    """

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.events = 0

    def run(self) -> None:
        newest = b""
        with suppress(OSError, HTTPException), urlopen(f"{self.url}events?page=now") as stream:
            for line in stream:
                self.events += line.startswith(b"data:")
                match = STAGE.search(line)
                if match and match[1] != newest:
                    newest = match[1]
                    urlopen(self.url + newest.decode("ascii")).read()


def shares(site: Site, viewers: Sequence[Viewer], kind: str) -> Iterator[Reading]:
    """Yield the percent of a core that page and daemon take while viewers look on."""
    assert site.process is not None and site.page_process is not None
    processes = {"page": site.page_process, "daemon": site.process.pid}
    for viewer in viewers:
        viewer.start()
    until(lambda: all(viewer.events for viewer in viewers))
    time.sleep(1.0)  # what all get at first is not counted
    for _ in range(ROUNDS):
        events = sum(viewer.events for viewer in viewers)
        before, began = {who: cpu_seconds(pid) for who, pid in processes.items()}, time.monotonic()
        time.sleep(ROUND_S)
        took = time.monotonic() - began
        for who, pid in processes.items():
            yield f"{who}_cpu{kind}", 100 * (cpu_seconds(pid) - before[who]) / took
        if sum(viewer.events for viewer in viewers) < events + len(viewers):
            raise RuntimeError("the viewers got no events: there is nothing to measure")


MEASURES = (
    Measure((
        Row("paint_s", f"first paint of the front page, {JOBS:,} finished jobs", "s", 0.3),
        Row("stage_s", "from a stage's file to its picture on the page", "s", 1),
        Row("page_cpu", f"CPU of the page's process, {VIEWERS} viewers of a painting", "%", 10),
        Row("page_cpu_alone", "the same without viewers", "%"),
        Row("daemon_cpu", f"CPU of the daemon, {VIEWERS} viewers", "%"),
        Row("daemon_cpu_alone", "the same without viewers", "%"),
    ), many, once=True),
)  # fmt: skip


def main(words: list[str]) -> int:
    """Measure, and print the table; 69 without a browser."""
    options = command_line("python -m bench.web", __doc__, MEASURES).parse_args(words)
    if why := browsers.obstacle():
        print(f"no browser was started: {why}", file=sys.stderr)
        return 69
    with browsers.started() as browser:
        name = f"Chromium {browser.version}"
        return measured(
            MEASURES, options, lambda _, scratch: Setting(scratch, browser),
            "bench-web.json", browser=name,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
