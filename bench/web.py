"""Cost of the page, and the delay until it shows news: `make bench-web`.

A daemon with thousands of finished jobs paints with the backend `sketch`. Measured are the first
paints of a fresh Chromium, what fifty viewers cost the page's process and the daemon while a
painting grows, and the seconds from a stage's file to its picture on the page. Another daemon
paints uploads by VGG19. CPU is what /proc says, in percent of a core: what other programs take does
not count, though they may make all of it slower.
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

PAINTS, ROUNDS, STAGES, UPLOADS = 11, 3, 20, 7
"""How often each is measured, after one more that warms up."""

ROUND_S = 8.0
"""Seconds for which the CPU is looked at."""

PATIENCE_MS = 600_000
FINE = 64
"""The first stage of `best` at a quarter of the final size."""

PAINTED_BY = "job: {recipe: best}\n"
SERVED = ("--set", "backend=torch", "--set", "watch.quiet_s=2")
"""The default recipe and quiet time, on VGG19."""

GROWING = ("--set", "steps=100000", "--set", "save_every=15", "--set", "size=512")
"""A painting with ten steps a second, and so a stage in a second and a half."""

AGAIN = "sea-wave-2"
"""The job of that painting, the second of its pictures."""

PAINTED = '() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime'
"""When the first content was painted, in milliseconds."""

ARRIVALS = """
window.arrivals = [];
addEventListener("submit", () => { window.submitted ??= Date.now() / 1000; }, true);
document.addEventListener("load", (event) => {
    const step = /after step ([0-9]+)$/.exec(event.target.alt ?? "");
    if (step) arrivals.push([Number(step[1]), Date.now() / 1000]);
}, true);
"""


STAGE = re.compile(rb'src=\\"/(jobs/[^"\\]+/pictures/stage-[^"\\]+)\\"')
"""The address of a stage in an event."""


@dataclass(frozen=True)
class Setting:
    """A pair to upload, a temporary folder, and a browser."""

    pair: tuple[Path, Path]
    scratch: Path
    browser: Browser


def uploads(setting: Setting) -> Iterator[Reading]:
    """Yield the seconds from the press of Start to the first pictures that `best` painted."""
    (root := setting.scratch / "uploads").mkdir()
    with closing(Site.made(root)) as site:
        (root / "config.yaml").write_text(PAINTED_BY)
        site.start(*SERVED)
        page = setting.browser.new_page()
        page.on("dialog", lambda dialog: dialog.accept())
        for number in range(UPLOADS + 1):
            page.goto(site.url)
            page.evaluate(ARRIVALS)
            give(page, *setting.pair)
            # not at every frame: the browser would draw them, at the expense of the worker
            page.wait_for_function(
                f"() => arrivals.at(-1)?.[0] >= {FINE}", polling=100, timeout=PATIENCE_MS
            )
            seen, submitted = page.evaluate("arrivals"), page.evaluate("submitted")
            page.get_by_role("button", name="Cancel").click()
            page.get_by_text("No job is running.").wait_for(timeout=PATIENCE_MS)
            if number:
                yield "preview_s", seen[0][1] - submitted
                yield "preview_fine_s", seen[-1][1] - submitted
        page.close()


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
        Row("preview_s", "from an upload to a picture painted at 80 pixels, a warm worker", "s", 3),
        Row("preview_fine_s", "the same, painted at 160 pixels", "s", 3),
    ), uploads, once=True),
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

        def setting_of(content: Path, style: Path, scratch: Path) -> Setting:
            return Setting((content, style), scratch, browser)

        name = f"Chromium {browser.version}"
        return measured(MEASURES, options, setting_of, "bench-web.json", browser=name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
