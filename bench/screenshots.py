"""Take the screenshots of the page for README: `python -m bench.screenshots`.

A daemon with a style library paints the pairs of FINISHED and then RUNNING with `best`.
The overview is taken when RUNNING is almost painted and WAITING is in the queue.
"""

import sys
from contextlib import closing
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.common import PICTURES, ROOT, STYLEWATCH, run
from PIL import Image
from playwright.sync_api import Browser, Page
from playwright.sync_api import TimeoutError as TooLate
from tests.browser import browsers
from tests.browser.site import Site
from tests.browser.viewer import finished, running, see

IMAGES = ROOT / "docs" / "images"
STYLES = {
    "composition-vii": ("Composition VII", "Wassily Kandinsky, 1913"),
    "scream": ("The Scream", "Edvard Munch, 1893"),
    "starry-night": ("The Starry Night", "Vincent van Gogh, 1889"),
    "water-lilies": ("Water Lilies", "Claude Monet, 1919"),
    "wave": ("The Great Wave", "Katsushika Hokusai, about 1831"),
    "wheat-field": ("Wheat Field with Cypresses", "Vincent van Gogh, 1889"),
}
"""The style library: title and source of files in PICTURES."""

FINISHED = (
    "rocket+starry-night", "cat+water-lilies", "astronaut+scream", "poster+composition-vii",
    "astronaut+wheat-field", "coffee+wave", "cat+starry-night", "coffee+water-lilies",
    "rocket+wave", "camera+wheat-field", "poster+wave",
)  # fmt: skip
RUNNING = "rocket+starry-night"
WAITING = ("astronaut+composition-vii", "camera+water-lilies")
SHOWN = "coffee+wave"
"""The job whose page is shown."""

SAVE_EVERY = 5
LEFT = 3
"""Steps of RUNNING, at least, that are left when the overview is taken."""

CONFIG = f"""
pairing: {{styles: styles}}
job: {{recipe: best, size: 384, save_every: {SAVE_EVERY}}}
"""
VIEW = {"width": 1440, "height": 1346}
JOB_HEIGHT = 1262
"""Pixels of the page of a job that are shown."""
SHARE = "38"
"""Percent of the output that the content image covers there."""
WIDTH = 1240
_QUALITY = 85  # of JPEG
PATIENCE_MS = 300_000
"""The limit of each wait: a job takes a tenth of that on two cores."""


def submit(site: Site, pair: str, *options: object) -> str:
    """Submit a pair named CONTENT+STYLE; return the name that its job has by default."""
    content, _, style = pair.partition("+")
    title = STYLES[style][0]
    pictures = PICTURES / f"{content}.jpg", site.root / "styles" / f"{title}.jpg"
    state = "--state", site.root / "state", "--config", site.root / "config.yaml"
    run(STYLEWATCH, "submit", *pictures, *state, *options)
    return f"{content}-{title}"


def save(page: Page, name: str, height: int) -> None:
    """Save the top of the page, resized to WIDTH."""
    page.evaluate("scrollTo(0, 0)")
    shot = Image.open(BytesIO(page.screenshot(full_page=True))).convert("RGB")
    shot = shot.crop((0, 0, shot.width, height))
    small = shot.resize((WIDTH, round(height * WIDTH / shot.width)), Image.Resampling.LANCZOS)
    small.save(IMAGES / name, quality=_QUALITY)


def overview(page: Page, site: Site, newest: str) -> None:
    """Start RUNNING, and take the overview when it is almost painted."""
    submit(site, RUNNING, "--name", "rocket", "--size", "560")
    for pair in WAITING:
        submit(site, pair)
    painting = running(page, "rocket")
    steps = int(painting.locator("progress:not([max='1'])").evaluate("bar => bar.max"))
    almost = (steps - LEFT) // SAVE_EVERY * SAVE_EVERY
    see(painting.get_by_role("img", name=f"after step {almost}").first)
    see(finished(page, job=newest).get_by_role("img"))
    save(page, "overview.jpg", VIEW["height"])


def job(page: Page, name: str) -> None:
    """Take the page of a finished job."""
    finished(page, job=name).get_by_role("link").first.click()
    page.get_by_role("heading", level=1, name=name).wait_for()
    handle = page.get_by_label("Share of the photograph")
    handle.fill(SHARE)
    handle.blur()
    page.mouse.move(0, 0)
    for picture in page.locator("main img").all():
        see(picture)
    save(page, "job.jpg", JOB_HEIGHT)


def take(browser: Browser, site: Site) -> None:
    """Paint, and take both screenshots."""
    jobs = [submit(site, pair) for pair in FINISHED]
    page = browser.new_page(viewport=VIEW, color_scheme="light", reduced_motion="reduce")
    page.set_default_timeout(PATIENCE_MS)
    page.goto(site.url)
    for number, name in enumerate(jobs, start=1):
        finished(page, job=name).wait_for()
        print(f"painted {number} of {len(jobs)}: {name}", flush=True)
    overview(page, site, jobs[-1])
    job(page, jobs[FINISHED.index(SHOWN)])


def main() -> int:
    """Take the screenshots into docs/images; 69 where there is no browser, 1 after a limit."""
    if why := browsers.obstacle():
        print(f"no browser was started: {why}", file=sys.stderr)
        return 69
    with (TemporaryDirectory() as folder, browsers.started() as browser,
          closing(Site.made(Path(folder))) as site):  # fmt: skip
        (site.root / "config.yaml").write_text(CONFIG)
        (site.root / "styles").mkdir()
        for file, (title, source) in STYLES.items():
            copy = site.root / "styles" / f"{title}.jpg"
            copy.write_bytes((PICTURES / f"{file}.jpg").read_bytes())
            copy.with_suffix(".txt").write_text(source)
        site.start("--set", "backend=torch")
        try:
            take(browser, site)
        except TooLate as error:
            why = " ".join(error.message.split())
            print(f"the page did not show in time what a screenshot needs: {why}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
