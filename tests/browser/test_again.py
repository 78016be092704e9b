"""A result is refined: painted again with other settings and styles, compared, saved, deleted."""

import re
import shlex
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import Download, Page, expect
from tests.browser.site import Site
from tests.browser.viewer import Windows, finished, give_pair, see, start

QUICK = ("--set", "backends.sketch.seconds_per_step=0.01", "--set", "steps=20")


@pytest.fixture
def quick(site: Site, windows: Windows) -> Page:
    """The first page of a daemon with short jobs and a style library, after a job."""
    (site.root / "library").mkdir()
    (site.root / 'library/"tiles".jpg').write_bytes(site.wave.read_bytes())
    (site.root / 'library/"tiles".txt').write_text("drawn by nobody")
    site.start(*QUICK, "--set", "pairing.styles=library")
    page = windows.open()
    page.goto(site.url)
    give_pair(page, site)
    see(finished(page).get_by_role("img"))
    return page


def open_job(page: Page) -> None:
    finished(page).get_by_role("link").first.click()
    page.wait_for_url("**/jobs/*")


def paint_again(page: Page) -> None:
    page.get_by_role("button", name="Paint again").click()


def test_a_picture_is_painted_again_and_stands_beside_the_first_one(
    quick: Page, windows: Windows
) -> None:
    open_job(quick)
    expect(quick.get_by_role("button", name="Retry")).to_have_count(0)
    quick.get_by_role("link", name="Paint again").click()
    quick.get_by_label("Strength").fill("2")
    quick.get_by_label("Colors").select_option("match")
    quick.get_by_role("checkbox", name="tiles").check()
    quick.get_by_role("checkbox", name="Blend other styles").check()
    paint_again(quick)
    expect(quick.locator("#strength")).to_be_focused()
    expect(quick.locator("#message")).to_contain_text("Strength")
    expect(quick.locator("#message")).to_be_in_viewport()
    expect(quick.locator("#strength-mistake")).to_contain_text("less than or equal to 1")
    windows.expected.append("400 (Bad Request)")
    quick.get_by_label("Strength").fill("0.25")
    paint_again(quick)
    expect(quick.get_by_role("heading", level=1)).to_contain_text("sea-wave-2")
    variants = quick.get_by_role("region", name="Variants of this photo").get_by_role("article")
    expect(variants).to_have_count(2)
    new, old = variants.all()
    expect(new).to_contain_text("this job")
    expect(new).to_contain_text("wave.jpg and _tiles_.jpg")
    for text in (re.compile(r"strength\s*0.25"), re.compile(r"color\s*match")):
        expect(new).to_contain_text(text)
    expect(old).to_contain_text(re.compile(r"color\s*style"))
    see(new.get_by_role("img"))
    see(old.get_by_role("img"))


def test_a_refused_job_is_corrected_without_scripts(
    quick: Page, site: Site, windows: Windows
) -> None:
    (site.root / "inbox/bad").mkdir()
    for name, path in (("content", site.sea), ("style", site.wave)):
        (site.root / f"inbox/bad/{name}.jpg").write_bytes(path.read_bytes())
    (site.root / "inbox/bad/job.yaml").write_text("size: enormous")
    expect(quick.get_by_role("region", name="Failed or refused")).to_contain_text("enormous")
    page = windows.open(script=False)
    page.goto(site.url)
    refused = page.get_by_role("region", name="Failed or refused")
    expect(refused.get_by_role("button", name="Retry")).to_have_count(0)
    refused.get_by_role("link", name="Paint again").click()
    expect(page.get_by_text("so the form has the defaults")).to_be_visible()
    page.locator("#size").fill("huge")
    paint_again(page)
    windows.expected.append("400 (Bad Request)")
    expect(page.locator("#size-mistake")).to_contain_text("should be 640")
    page.locator("#size").fill("32")
    paint_again(page)
    page.wait_for_url(re.compile("/jobs/[^/]*$"))
    page.goto(f"{site.url}jobs/bad")
    expect(page.get_by_role("heading", level=1)).to_contain_text("bad")


def test_a_style_is_taken_from_the_library_and_kept_there(quick: Page, site: Site) -> None:
    library = quick.get_by_role("group", name="Style library")
    expect(library).to_contain_text("drawn by nobody")
    see(library.locator("img"))
    library.get_by_role("checkbox", name="tiles").check()
    quick.locator("#content").set_input_files(site.sea)
    start(quick)
    see(finished(quick, "sea-_tiles_").get_by_role("img"))
    open_job_of = finished(quick, "sea-wave").get_by_role("link").first
    open_job_of.click()
    quick.get_by_text("Keep wave.jpg in the style library").click()
    quick.get_by_label("Name", exact=True).fill("starry night")
    quick.get_by_label("Source").fill("Vincent van Gogh, 1889")
    quick.get_by_role("button", name="Keep", exact=True).click()
    quick.goto(site.url)
    see(library.locator("img").first)
    expect(library.get_by_role("checkbox")).to_have_count(2)
    expect(library).to_contain_text("Vincent van Gogh, 1889")
    kept = site.root / "library/starry night.jpg"
    assert kept.read_bytes() == site.wave.read_bytes()


def content_of(download: Download) -> bytes:
    """Read a file that was saved, and remove it: a second one would get another name."""
    path = Path(str(download.path()))
    if not path.exists():  # Playwright does not know that Firefox uses the suggested name
        path = path.with_name(download.suggested_filename)
    content = path.read_bytes()
    path.unlink()
    return content


def test_a_picture_is_saved_with_all_files_and_its_settings(
    quick: Page, site: Site, windows: Windows
) -> None:
    open_job(quick)
    final = (site.root / "outbox/sea-wave/final.png").read_bytes()
    with quick.expect_download() as download:
        quick.get_by_role("link", name="Download", exact=True).click()
    assert (download.value.suggested_filename, content_of(download.value)) == (
        "sea-wave.png",
        final,
    )
    with quick.expect_download() as download:
        quick.get_by_role("link", name="All files").click()
    with ZipFile(BytesIO(content_of(download.value))) as archive:
        assert archive.testzip() is None
        assert archive.read("sea-wave/inputs/sea.jpg") == site.sea.read_bytes()
        assert archive.read("sea-wave/final.png") == final
    quick.get_by_text("Settings as a command").click()
    command = quick.locator("pre", has_text="stylewatch submit")
    words = shlex.split(str(command.text_content()))
    assert words[:4] == ["stylewatch", "submit", "sea.jpg", "wave.jpg"]
    copy = command.locator("+ button")
    copy.click()
    expect(copy).to_have_text(re.compile("Copied|Ctrl"))
    expect(quick.get_by_role("region", name="Share")).to_have_count(0)  # loopback alone
    windows.expected.append("inline style")  # of the browser's own view of a picture
    with quick.expect_navigation():
        quick.get_by_role("link", name="Full size").click()
    see(quick.locator("img"))


def test_a_picture_is_printed_larger_and_deleted(quick: Page, site: Site) -> None:
    open_job(quick)
    quick.get_by_role("link", name="Print larger").click()
    expect(quick.locator("#preview")).to_have_value("48")
    expect(quick.locator("#size")).to_have_value("96")
    paint_again(quick)
    heading = quick.get_by_role("heading", level=1)
    expect(heading).to_contain_text("sea-wave-2")
    expect(heading).to_contain_text("done")
    expect(quick.get_by_text(re.compile("^96x[0-9]+ pixels"))).to_be_visible()
    quick.get_by_role("link", name="Delete").click()
    quick.get_by_role("link", name="Keep it").click()
    quick.get_by_role("link", name="Delete").click()
    quick.get_by_role("button", name="Delete for good").click()
    expect(quick.get_by_role("heading", name="Gallery")).to_be_visible()
    expect(quick.get_by_role("article")).to_have_count(1)
    assert not (site.root / "outbox/sea-wave-2").exists()
    assert (site.root / "outbox/sea-wave/final.png").exists()
