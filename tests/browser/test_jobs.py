"""A pair of pictures becomes a job, which is followed, canceled and run again."""

import os
import re
import signal

from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect
from tests.browser.site import Site, until
from tests.browser.viewer import (
    PAIR,
    Windows,
    answer_in_turn,
    barriers,
    drop,
    finished,
    give_pair,
    running,
    see,
    see_stages,
    start,
)

LOST = "connection lost, trying again"


def test_of_two_pictures_in_a_folder_a_click_says_which_one_is_the_style(
    page: Page, site: Site
) -> None:
    folder = site.root / "inbox/dusk"
    folder.mkdir(parents=True)
    for name, picture in (("a.jpg", site.sea), ("b.jpg", site.wave)):
        (folder / name).write_bytes(picture.read_bytes())
    expect(page.get_by_text("Which one is the style image?")).to_be_visible()
    page.get_by_role("button", name="Rename b.jpg to style.jpg").click()
    expect(page.get_by_text("Which one is the style image?")).to_be_hidden()
    until(lambda: not (folder / "b.jpg").exists())


def test_two_files_that_are_dropped_become_a_job_whose_stages_appear_by_themselves(
    page: Page, site: Site
) -> None:
    page.evaluate("window.neverLoadedAgain = true")
    drop(page, "main", site.sea, site.wave)
    wells = page.locator("[data-well]")
    expect(wells.first).to_contain_text("sea.jpg")
    expect(wells.last).to_contain_text("wave.jpg")
    start(page)
    expect(page.get_by_text("sea-wave was added to the queue.")).to_be_visible()
    expect(wells.first).not_to_contain_text("sea.jpg")
    job = running(page)
    expect(job.get_by_text(re.compile(r"step \d+ of 60"))).to_be_visible()
    expect(job.get_by_text(re.compile(r"\d+ s left"))).to_be_visible()
    seen = see_stages(page, 3)
    assert seen == sorted(seen)
    see(finished(page).get_by_role("img"))
    expect(job).to_have_count(0)
    assert page.evaluate("window.neverLoadedAgain")


def test_a_form_keeps_what_was_entered_while_another_page_is_looked_at(
    page: Page, site: Site
) -> None:
    drop(page, "[data-well]:has(#content)", site.sea)
    page.locator("#strength").fill("0.35")
    page.get_by_role("link", name="Gallery").click()
    expect(page.get_by_role("heading", name="Gallery")).to_be_visible()
    page.go_back(wait_until="commit")
    expect(page.locator("#strength")).to_have_value("0.35")
    expect(page.locator("[data-well]").first).to_contain_text("sea.jpg")
    drop(page, "[data-well]:has(#style)", site.wave)
    start(page)
    expect(running(page)).to_be_visible()  # it follows the daemon again


def test_an_upload_whose_answer_is_lost_is_painted_once(
    page: Page, site: Site, windows: Windows
) -> None:
    def lose(route: Route) -> None:
        route.fetch()
        route.abort("connectionaborted")

    def give_up(route: Route) -> None:
        route.fetch()
        route.fulfill(status=504, content_type="text/html", body="<h1>Gateway Timeout</h1>")

    def ask_for_login(route: Route) -> None:
        route.fulfill(content_type="text/html", body="<h1>Log in</h1>")

    windows.expected += ["ERR_CONNECTION_ABORTED", "504 (Gateway Timeout)"]
    drop(page, "main", site.sea, site.wave)
    answer_in_turn(page, "**/jobs", ask_for_login, lose, give_up)
    for said in (
        "perhaps a proxy (200)", "does not answer: try again", "perhaps a proxy (504)"
    ):  # fmt: skip
        start(page)
        expect(page.locator("#message")).to_contain_text(said)
        expect(page.locator("[data-well]").first).to_contain_text("sea.jpg")
    start(page)
    expect(page.get_by_text("sea-wave was added to the queue.")).to_be_visible()
    see(finished(page).get_by_role("img"))
    drop(page, "main", site.sea, site.wave)
    start(page)
    expect(page.get_by_text("sea-wave-2 was added to the queue.")).to_be_visible()


def test_a_mistake_is_reported_at_the_form_which_keeps_the_pictures(
    page: Page, site: Site, windows: Windows
) -> None:
    drop(page, "[data-well]:has(#style)", site.wave)
    drop(page, "[data-well]:has(#content)", site.sea)
    page.get_by_label("Recipe").select_option("gatys")
    page.get_by_label("Slider of the strength").press("Home")
    expect(page.locator("#strength")).to_have_value("0")
    page.locator("#size").fill("enormous")
    page.get_by_text("More settings").click()
    page.get_by_label("Name").fill("by-hand")
    start(page)
    expect(page.locator("#message")).to_have_text(re.compile("^Size: should be 640"))
    expect(page.locator("#size")).to_be_focused()
    expect(page.locator("#size-mistake")).to_contain_text("should be 640")
    windows.expected.append("400 (Bad Request)")
    expect(page.locator("[data-well]").first).to_contain_text("sea.jpg")
    page.locator("#size").fill("32")
    start(page)
    see(finished(page, "by-hand").get_by_role("img"))


def test_a_slider_and_its_field_show_the_same_value(page: Page) -> None:
    slider = page.get_by_label("Slider of the strength")
    field = page.locator("#strength")
    page.get_by_label("Recipe").select_option("gatys")
    placeholder = field.get_attribute("placeholder") or ""
    strength = placeholder.removesuffix(" in gatys")
    expect(slider).to_have_value(strength)
    field.fill("0.35")
    expect(slider).to_have_value("0.35")
    field.fill("")
    expect(slider).to_have_value(strength)
    with page.expect_request(re.compile(r"/estimate\?.*strength=0(&|$)")):
        slider.press("Home")
    expect(field).to_have_value("0")


def test_the_time_is_asked_for_the_size_of_the_chosen_photograph(page: Page, site: Site) -> None:
    with page.expect_request(re.compile(r"/estimate\?.*pixels=(\d+x\d+)(&|$)")) as asked:
        drop(page, "[data-well]:has(#content)", site.sea)
    with Image.open(site.sea) as photograph:
        assert f"pixels={photograph.width}x{photograph.height}" in asked.value.url


def test_the_time_is_said_of_the_settings_that_are_in_the_form_now(page: Page) -> None:
    questions: list[Route] = []

    def hold(route: Route) -> None:
        questions.append(route)

    def question(number: int) -> Route:
        for _ in range(500):
            if len(questions) < number:
                page.wait_for_timeout(20)
        return questions[number - 1]

    page.route("**/estimate?**", hold)
    size, said = page.locator("#size"), page.locator("[data-estimate]")
    size.fill("32")
    assert "size=32" in question(1).request.url
    size.fill("64")
    question(2).fulfill(json={"estimate": "of 64"})
    expect(said).to_have_text("of 64")
    with page.expect_response(re.compile("size=32")):
        question(1).fulfill(json={"estimate": "of 32"})
    page.wait_for_timeout(100)
    expect(said).to_have_text("of 64")
    size.evaluate("size => size.form.reset()")
    question(3).fulfill(json={"estimate": "of no size"})
    expect(said).to_have_text("of no size")
    assert "size=32" not in question(3).request.url and "size=64" not in question(3).request.url


def test_a_job_is_canceled_after_a_question_and_can_be_tried_again(page: Page, site: Site) -> None:
    give_pair(page, site)
    cancel = running(page).get_by_role("button", name=f"Cancel {PAIR}")
    page.once("dialog", lambda dialog: dialog.dismiss())
    cancel.click()
    see_stages(page, 1)
    page.once("dialog", lambda dialog: dialog.accept())
    cancel.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("canceled")
    page.get_by_role("link", name="Overview").click()
    for button in ("Pause", "Resume"):
        with page.expect_navigation():  # which would swallow a click that comes before it
            page.get_by_role("button", name=button).click()
    page.get_by_role("link", name="Gallery", exact=True).click()
    page.get_by_role("link", name=re.compile("canceled")).click()
    retry = page.get_by_role("button", name=f"Retry {PAIR}")
    retry.wait_for()
    page.wait_for_load_state()  # the page has its script
    assert retry.evaluate("button => { button.click(); return button.disabled; }")
    page.wait_for_url("**/jobs/*")
    page.get_by_role("button", name="Finish now").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("stopped early")
    assert site.painted == ["sea-wave-2"]


def start_with_token(site: Site) -> str:
    """Start a daemon whose page asks for a token; return the token."""
    file, token = site.root / "token", "what-nobody-could-guess-in-years"
    file.touch(mode=0o600)
    file.write_text(f"{token}\n")
    site.start("--set", "web.token_file=token")
    return token


def log_in_again(page: Page, token: str) -> None:
    """Log in where the session has ended, at the second attempt."""
    dialog = page.get_by_role("dialog", name="The session has ended")
    expect(dialog).to_be_visible()
    assert not barriers(page)
    field = dialog.get_by_label("Token")
    enter = dialog.get_by_role("button", name="Log in")
    field.fill("wrong")
    enter.click()
    expect(field).to_have_accessible_description("wrong token: try again")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    field.fill(token)
    enter.click()
    expect(dialog).to_be_hidden()


def give_up_the_login(page: Page, button: Locator) -> None:
    """Press a button where the session has ended, and Escape once a proxy has answered."""
    dialog = page.get_by_role("dialog", name="The session has ended")
    button.click()
    page.route("**/login", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    dialog.get_by_label("Token").fill("any")
    dialog.get_by_role("button", name="Log in").click()
    expect(dialog.get_by_role("alert")).to_contain_text("stylewatch does not answer")
    expect(dialog.get_by_label("Token")).to_have_attribute("aria-invalid", "false")
    page.unroute("**/login")
    page.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_a_session_that_ends_costs_nothing_that_was_entered(site: Site, windows: Windows) -> None:
    token, page = start_with_token(site), windows.open()
    windows.expected += ["401", "403", "502", "ERR_"]
    page.goto(f"{site.url}health")
    for guess in ("wrong", token):
        page.get_by_label("Token").fill(guess)
        page.get_by_role("main").get_by_role("button").click()
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    page.goto(site.url)
    page.locator("#size").fill("32")
    page.context.clear_cookies()
    give_pair(page, site)
    log_in_again(page, token)
    see(running(page).get_by_role("img").first)
    page.context.clear_cookies()
    give_up_the_login(page, page.get_by_role("button", name="Pause"))
    page.get_by_role("button", name="Pause").click()
    log_in_again(page, token)
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    other = page.context.new_page()
    other.goto(site.url)
    other.get_by_role("button", name="Log out").click()
    log_in_again(page, token)  # the live updates have ended
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_viewers_with_the_token_reconnect_to_a_page_that_was_killed_and_to_the_next_daemon(
    site: Site, windows: Windows
) -> None:
    token, page = start_with_token(site), windows.open()
    page.goto(site.url)
    assert not barriers(page)
    page.get_by_label("Token").fill(token)
    page.get_by_role("main").get_by_role("button").click()
    give_pair(page, site)
    see_stages(page, 1)
    killed = site.page_process
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    expect(page.get_by_text(LOST)).to_be_visible()
    expect(page.get_by_text(LOST)).to_have_count(0)
    until(lambda: site.page_process not in (None, killed))
    windows.expected += ["ERR_", "401"]
    see(finished(page).get_by_role("img"))
    site.end()
    expect(page.get_by_text(LOST)).to_be_visible()
    start_with_token(site)
    expect(page.get_by_text(LOST)).to_have_count(0)
    give_pair(page, site)
    assert see_stages(page, 2, f"{PAIR} (2)")
