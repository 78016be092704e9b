"""The viewer: a picture fills the window, by mouse, keys and fingers; focus, zoom, neighbors."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.browser.many_done import repeat
from tests.browser.site import Site
from tests.browser.viewer import NARROW, PAIR, Windows, barriers, finished, give_pair, see

WIDTH = NARROW["width"]


@pytest.fixture(scope="module")
def painted(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon with the finished jobs sea-wave (PAIR), holiday-00000 and holiday-00001."""
    folder = tmp_path_factory.mktemp("painted")
    with closing(Site.made(folder)) as site, closing(Windows(browser)) as windows:
        page = windows.open()
        site.start("--set", "steps=10")
        page.goto(site.url)
        give_pair(page, site)
        see(finished(page).get_by_role("img"))
        site.end()
        repeat(site.root, 2)
        site.start()
        yield site


def shown(page: Page, name: str, kind: str = "output") -> Locator:
    """The viewer, once it shows this picture of a job."""
    viewer = page.get_by_role("dialog", name=name)
    see(viewer.get_by_role("img", name=f"{name}, {kind}"))
    return viewer


def box(page: Page) -> tuple[float, float]:
    """The left edge of the picture and its width on the screen, in pixels."""
    box = page.locator(".sheet").bounding_box()
    assert box is not None
    return box["x"], box["width"]


def touch(page: Page, *ways: tuple[int, int]) -> None:
    """Move a finger along each way, from x to x, at half the height of the window."""
    fingers = page.context.new_cdp_session(page)
    for third in range(4):
        points = [
            {"x": begin + third / 3 * (end - begin), "y": NARROW["height"] / 2, "id": number}
            for number, (begin, end) in enumerate(ways)
        ]
        event = {"type": "touchMove" if third else "touchStart", "touchPoints": points}
        fingers.send("Input.dispatchTouchEvent", event)
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_the_viewer_is_used_by_keys_and_gives_the_focus_back(
    painted: Site, windows: Windows
) -> None:
    page = windows.open()
    page.goto(f"{painted.url}gallery")
    cards, keys = page.locator("a.frame"), page.keyboard
    cards.first.press("Enter")
    viewer = shown(page, PAIR)
    assert not barriers(page)
    for _ in range(12):
        keys.press("Tab")
        assert page.evaluate("!document.activeElement.closest('main, header')")
    viewer.get_by_role("button", name="Close").focus()
    left, width = box(page)
    keys.press("+")
    keys.press("+")
    keys.press("ArrowRight")
    assert box(page) == pytest.approx((left - 0.625 * width - 80, 2.25 * width))
    keys.press("0")
    assert box(page) == pytest.approx((left, width))
    keys.press("b")
    shown(page, PAIR, "photograph")
    keys.press("ArrowLeft")  # there is none
    expect(viewer.get_by_text("1 of 3")).to_be_visible()
    keys.press("ArrowRight")
    expect(shown(page, "holiday-00000").get_by_role("img")).to_have_count(1)
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(cards.nth(1)).to_be_focused()


def test_the_viewer_is_used_with_a_mouse(painted: Site, windows: Windows) -> None:
    page = windows.open()
    page.goto(painted.url)
    page.locator("a.frame").nth(1).click()
    viewer, (left, width) = shown(page, "holiday-00000"), box(page)
    page.mouse.move(900, 400)
    page.mouse.wheel(0, -400)
    expect(viewer.locator(".sheet")).not_to_have_css("scale", "1")
    page.mouse.down()
    page.mouse.move(950, 400, steps=3)
    page.mouse.up()
    moved = box(page)
    assert (950 - moved[0]) / moved[1] == pytest.approx((900 - left) / width)
    for entered in ("!!", "!"):
        viewer.get_by_role("button", name="Full screen").click()
        page.wait_for_function(f"() => {entered}document.fullscreenElement")
    viewer.get_by_role("button", name="Previous").click()
    shown(page, PAIR).get_by_role("link", name=PAIR).click()
    page.wait_for_url("**/jobs/*")
    assert page.locator(".after img").evaluate("image => image.width > 2 * image.naturalWidth")


def test_a_phone_swipes_to_the_neighbors_of_a_job_and_pinches(
    painted: Site, windows: Windows
) -> None:
    page = windows.open(viewport=NARROW, has_touch=True, is_mobile=True)
    page.goto(f"{painted.url}jobs/holiday-00000")
    page.locator(".whole").tap()
    viewer = shown(page, "holiday-00000")
    assert not barriers(page)
    name = viewer.get_by_role("link", name="holiday-00000").element_handle()
    name.evaluate("link => { link.textContent = 'content-tubingen-Wheat Field with Cypresses-2'; }")
    close = page.get_by_role("button", name="Close").bounding_box()
    assert close is not None and close["x"] + close["width"] <= WIDTH
    name.evaluate("link => { link.textContent = 'holiday-00000'; }")
    for way, named in (((300, 290), "holiday-00000"), ((300, 100), "holiday-00001"),
                      ((100, 300), "holiday-00000"), ((100, 300), PAIR)):  # fmt: skip
        touch(page, way)
        shown(page, named)
    touch(page, (185, 100), (205, 290))
    assert box(page)[1] > 3 * WIDTH
    touch(page, (300, 100))  # moves the picture
    shown(page, PAIR)
    for width in (WIDTH, 2.5 * WIDTH):
        touch(page, (200, 200))
        touch(page, (200, 200))
        assert box(page)[1] == pytest.approx(width)
    page.get_by_role("button", name="Close").tap()
    expect(page.get_by_role("link", name=f"Newer: {PAIR}")).to_be_focused()
