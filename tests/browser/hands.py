"""What a viewer does with the page: drops pictures, waits for what comes, looks at it."""

import base64
import re
import time
from pathlib import Path

from playwright.sync_api import JSHandle, Locator, Page, expect

_CARRIED = """
(files) => {
    const carried = new DataTransfer();
    for (const [name, text] of files) {
        const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
        carried.items.add(new File([bytes], name, {type: "image/jpeg"}));
    }
    return carried;
}
"""

PATIENCE_S = 30.0

_IS_SEEN = "image => image.complete && image.naturalWidth > 1"


def drop(page: Page, onto: str, *paths: Path) -> None:
    """Drag files over the page, and let go over what the selector `onto` finds."""
    files = [(one.name, base64.b64encode(one.read_bytes()).decode("ascii")) for one in paths]
    carried: JSHandle = page.evaluate_handle(_CARRIED, files)
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(onto, event, {"dataTransfer": carried})


def give(page: Page, *paths: Path) -> None:
    """Choose the first file as the photograph, the others as paintings, and send them."""
    page.locator("#content").set_input_files(paths[0])
    page.locator("#style").set_input_files(list(paths[1:]))
    send(page)


def send(page: Page) -> None:
    """Press the button."""
    page.get_by_role("button", name="Start").click()


def easel(page: Page, job: str) -> Locator:
    """The job among those that are being painted."""
    article = page.get_by_role("region", name="Running").get_by_role("article")
    return article.filter(has=page.get_by_role("heading", name=job, exact=True))


def finished(page: Page, job: str) -> Locator:
    """The job among those that were just finished."""
    article = page.get_by_role("region", name="Recently finished").get_by_role("article")
    return article.filter(has=page.get_by_role("heading", name=job, exact=True))


def not_painted(page: Page, job: str) -> Locator:
    """The job among those that came to a bad end."""
    item = page.get_by_role("region", name="Failed or refused").get_by_role("listitem")
    return item.filter(has=page.get_by_role("link", name=job, exact=True))


def see(picture: Locator) -> None:
    """Wait until a picture is there, and not something in its place; a newer one will do, too."""
    picture.scroll_into_view_if_needed()
    until = time.monotonic() + PATIENCE_S
    while not picture.evaluate(_IS_SEEN):
        assert time.monotonic() < until, f"{picture} does not come"
        picture.page.wait_for_timeout(50)


def stages(page: Page, job: str, several: int) -> list[int]:
    """The steps after which stages of a painting were seen, one after the other, so many."""
    picture, seen = easel(page, job).get_by_role("img").first, list[int]()
    while len(seen) < several:
        last = f"step {seen[-1]}$" if seen else "content image"
        expect(picture).not_to_have_attribute("alt", re.compile(last))
        found = re.search(r"after step (\d+)$", picture.get_attribute("alt") or "")
        if found and int(found[1]) not in seen:
            see(picture)
            seen.append(int(found[1]))
    return seen
