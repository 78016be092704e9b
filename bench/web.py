"""Cost of the page, and the delay until it shows news: `make bench-web`.

A daemon with thousands of finished jobs paints with the backend `sketch`. Measured are the first
paints of a fresh Chromium, what fifty viewers cost the page's process and the daemon while a
painting grows, and the seconds from a stage's file to its picture on the page. CPU is what /proc
says, in per cent of a core: what other programs take does not count, though they may make all of it
slower.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from unittest.mock import patch

from bench import many_done, table
from bench.common import cpu_seconds
from bench.rows import Reading, Row
from bench.viewers import watching
from playwright.sync_api import Browser, Page
from tests.browser import browsers
from tests.browser.site import Site
from tests.browser.viewer import give, running, see

JOBS, VARIANTS, VIEWERS = 10_000, 24, 50
"""Finished jobs, how many different ones are among them, and viewers."""

PAINTS, ROUNDS, STAGES = 11, 5, 20
"""How often each is measured."""

ROUND_S = 8.0
"""Seconds for which the CPU is looked at."""

FINE = 64
"""The first stage of `best` at a quarter of the final size."""

PREVIEWS = 7
"""How many uploads are followed until they are painted; one more before makes the worker warm."""

PAINTED_BY = "job: {recipe: best}\n"
SERVED = ("--set", "backend=torch", "--set", "watch.quiet_s=2")
"""The default recipe and quiet time, on VGG19."""

LIMITS: Mapping[str, Mapping[str, str]] = {
    "": {},
    "_avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}
"""Environment of a worker with all instructions of the processor, and with those of a laptop."""

GROWING = ("--set", "steps=100000", "--set", "save_every=15", "--set", "size=512")
"""A painting with ten steps a second, and so a stage in a second and a half."""

ROWS = (
    Row("paint_studio_s", f"first paint of the front page, {JOBS:,} finished jobs", "s", 0.3),
    Row("paint_gallery_s", "first paint of the gallery, as many", "s", 0.3),
    Row("paint_job_s", "first paint of a finished job", "s", 0.3),
    Row("preview_s", "from an upload to a picture painted at 80 pixels, a warm worker", "s", 3.0),
    Row("preview_fine_s", "the same, painted at 160 pixels", "s", 3.0),
    Row("preview_avx2_s", "painted at 80 pixels, limited to AVX2", "s", 3.0),
    Row("preview_fine_avx2_s", "painted at 160 pixels, limited to AVX2", "s", 3.0),
    Row("stage_s", "from a stage's file to its picture on the page", "s", 1.0),
    Row("page_cpu", f"CPU of the page's process, {VIEWERS} viewers of a painting", "%", 10.0),
    Row("page_cpu_pictures", "the same, where each fetches every stage", "%", 10.0),
    Row("page_cpu_alone", "the same, nobody looking on", "%"),
    Row("daemon_cpu", f"CPU of the daemon, {VIEWERS} viewers", "%"),
    Row("daemon_cpu_pictures", "the same, where each fetches every stage", "%"),
    Row("daemon_cpu_alone", "the same, nobody looking on", "%"),
)

PAINTED = """
() => {
    const paints = performance.getEntriesByType("paint");
    const first = paints.find((one) => one.name === "first-contentful-paint");
    return first ? first.startTime : 0;
}
"""

ARRIVALS = """
window.arrivals = [];
addEventListener("submit", () => { window.submitted ??= Date.now() / 1000; }, true);
document.addEventListener("load", (event) => {
    const step = /after step ([0-9]+)$/.exec(event.target.alt ?? "");
    if (step) arrivals.push([Number(step[1]), Date.now() / 1000]);
}, true);
"""


def paints(browser: Browser, site: Site) -> Iterator[Reading]:
    """The first paint with content, in seconds, of each page, by browsers that never saw it."""
    for name, path in (("studio", ""), ("gallery", "gallery"), ("job", "jobs/holiday-00003")):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(site.url + path, wait_until="load")
        yield f"paint_{name}_s", page.wait_for_function(PAINTED).json_value() / 1000
        context.close()


def shares(site: Site) -> Iterator[Reading]:
    """Per cent of a core of the page's process and of the daemon, by who looks on."""
    assert site.process is not None and site.page_process is not None
    processes = {"page": site.page_process, "daemon": site.process.pid}
    for kind, viewers, pictures in (("_alone", 0, False), ("", VIEWERS, False),
                                    ("_pictures", VIEWERS, True)):  # fmt: skip
        with watching(site.port, viewers, pictures) as tally:
            while tally.viewers < viewers:
                time.sleep(0.05)
            time.sleep(1.0)  # what all get at first is not counted
            before = {who: cpu_seconds(pid) for who, pid in processes.items()}
            events, began = tally.events, time.monotonic()
            time.sleep(ROUND_S)
            took = time.monotonic() - began
            for who, pid in processes.items():
                yield f"{who}_cpu{kind}", 100 * (cpu_seconds(pid) - before[who]) / took
            if tally.events - events < viewers:
                raise RuntimeError("the viewers got no events: there is nothing to measure")


def arrivals(page: Page, site: Site) -> Iterator[Reading]:
    """Seconds from the moment each stage has its name to the moment its picture is loaded."""
    page.evaluate(ARRIVALS)
    page.wait_for_function(f"() => arrivals.length > {STAGES}", timeout=600_000)
    for step, when in page.evaluate("arrivals")[1:]:  # the first one may have been there before
        (file,) = (site.root / "outbox/sea-wave/stages").glob(f"*{step}.png")
        yield "stage_s", when - file.stat().st_ctime


def previews(root: Path, browser: Browser, limit: str) -> Iterator[Reading]:
    """Seconds from the press of Start to the first pictures that `best` painted, on the page."""
    root.mkdir()
    site = Site.made(root)
    (root / "config.yaml").write_text(PAINTED_BY)
    with patch.dict(os.environ, LIMITS[limit]):
        site.start(*SERVED)
    try:
        page = browser.new_page()
        page.on("dialog", lambda dialog: dialog.accept())
        for run in range(PREVIEWS + 1):
            page.goto(site.url)
            page.evaluate(ARRIVALS)
            give(page, root / "pair/content.jpg", root / "pair/style.jpg")
            # not at every frame: the browser would draw them, at the expense of the worker
            page.wait_for_function(
                f"() => arrivals.at(-1)?.[0] >= {FINE}", polling=100, timeout=600_000
            )
            seen, submitted = page.evaluate("arrivals"), page.evaluate("submitted")
            page.get_by_role("button", name="Cancel").click()
            page.get_by_text("No job is running.").wait_for(timeout=600_000)
            if run:
                yield f"preview{limit}_s", seen[0][1] - submitted
                yield f"preview_fine{limit}_s", seen[-1][1] - submitted
    finally:
        site.close()


def measured(root: Path, browser: Browser) -> Iterator[Reading]:
    """All of it, in a folder of its own."""
    site = Site.made(root)
    many_done.paint(root, VARIANTS)
    many_done.repeat(root, JOBS)
    site.start(*GROWING)
    try:
        for run in range(PAINTS + 1):
            for reading in paints(browser, site):
                if run:  # the first makes small pictures, which stay
                    yield reading
        page = browser.new_page()
        page.goto(site.url)
        give(page, root / "sea.jpg", root / "wave.jpg")
        see(running(page, "sea-wave").get_by_role("img").first)
        yield from arrivals(page, site)
        page.close()
        for _ in range(ROUNDS):
            yield from shares(site)
    finally:
        site.close()


def main() -> int:
    """Measure, and print the table; 69 where there is no browser."""
    if why := browsers.obstacle():
        print(f"no browser was started: {why}", file=sys.stderr)
        return 69
    figures: dict[str, list[float]] = {row.key: [] for row in ROWS}
    with tempfile.TemporaryDirectory() as folder, browsers.started() as browser:
        painted = (previews(Path(folder, f"painted{limit}"), browser, limit) for limit in LIMITS)
        for key, value in chain(*painted, measured(Path(folder), browser)):
            figures[key].append(value)
            print(f"{key}: {value:.3g}", file=sys.stderr, flush=True)
        about = {**table.machine(), "browser": f"Chromium {browser.version}"}
    plain = {row.key: row.as_json(figures[row.key]) for row in ROWS}
    goals = {key: row for key, row in plain.items() if "must" in row}
    beside = {key: row for key, row in plain.items() if "must" not in row}
    print(f"{about['machine']}, {about['browser']}\n")
    print("\n".join(table.markdown({**goals, "beside": beside})))
    return 0


if __name__ == "__main__":
    sys.exit(main())
