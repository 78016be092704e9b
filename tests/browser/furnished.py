"""A daemon with something of everything: paintings that grow, wait, are done, and went wrong."""

from pathlib import Path

from bench.many_done import repeat
from playwright.sync_api import Page, expect
from tests.browser.hands import easel, finished, give, not_painted, see
from tests.browser.site import Site, until

ENDLESS = ("--set", "steps=100000", "--set", "save_every=10")
MANY = 30
"""Finished jobs, which are more than a page of the gallery has."""


def furnish(site: Site, page: Page) -> None:
    """Have a job of each kind; `page` is a window of somebody's."""
    sea, wave = site.root / "sea.jpg", site.root / "wave.jpg"
    note = site.root / "note.jpg"
    note.write_text("no picture")
    site.start("--set", "steps=10")
    page.goto(site.url)
    give(page, sea, wave)
    see(finished(page, "sea-wave").get_by_role("img"))
    site.end()
    repeat(site.root, MANY)
    site.start(*ENDLESS)
    page.goto(site.url)
    give(page, note, wave)
    expect(not_painted(page, "note-wave")).to_be_visible()
    for name in ("sea-wave-2", "sea-wave-3"):
        give(page, sea, wave)
        expect(page.get_by_text(f"{name} was added")).to_be_visible()
    _half(site.root)
    see(easel(page, "sea-wave-2").get_by_role("img").first)
    until(lambda: site.step > 10)
    expect(page.get_by_role("region", name="Incomplete")).to_be_visible()


def _half(root: Path) -> None:
    (root / "half.jpg").write_bytes((root / "sea.jpg").read_bytes())
    (root / "half.jpg").rename(root / "inbox/lone.content.jpg")


def pages(site: Site) -> dict[str, str]:
    """The addresses of all kinds of pages there are, by what they show."""
    found = {"a job that is painted": "sea-wave-2", "a job that is done": "sea-wave",
             "a job that was refused": "note-wave"}  # fmt: skip
    shelves = {f"the shelf {one}": f"gallery?state={one}" for one in ("done", "refused", "failed")}
    return {
        name: site.url + path
        for name, path in {
            "the studio": "", **shelves, "health": "health", "no such page": "nowhere",
            **{name: f"jobs/{job}" for name, job in found.items()},
        }.items()
    }  # fmt: skip
