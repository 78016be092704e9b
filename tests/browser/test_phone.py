"""A phone is let in by a code, sends photographs of its gallery, and is sent away again."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.browser.site import Site
from tests.browser.test_everyone import OVERHANG
from tests.browser.viewer import NARROW, Windows, barriers, running, see

PHONE: dict[str, Any] = {"viewport": NARROW, "has_touch": True, "is_mobile": True,
         "user_agent": "Mozilla/5.0 (Linux; Android 10; K) Chrome/126 Mobile"}  # fmt: skip
TOKEN = "a-token-of-the-studio-0123456789"


@pytest.fixture
def guarded(site: Site) -> Site:
    """A site whose page needs a token, and is known to phones by the name of a proxy."""
    (site.root / "token").write_text(TOKEN)
    (site.root / "token").chmod(0o600)
    (site.root / "styles").mkdir()
    (site.root / "styles/wave.jpg").write_bytes(site.wave.read_bytes())
    site.start("--set", "web.token_file=token", "--set", "web.url=https://phones.example")
    return site


def code_of(site: Site) -> str:
    """The code that `stylewatch phone` prints."""
    config = (site.root / "config.yaml").read_text()
    web = f"web: {{listen: '127.0.0.1:{site.port}', token_file: token, url: 'https://phones.example'}}"
    (site.root / "phone.yaml").write_text(f"{config}\n{web}\n")
    command = [sys.executable, "-c", site.program, "phone", "--config", "phone.yaml"]
    printed = subprocess.run(command, cwd=site.root, check=True, capture_output=True, text=True)
    assert "https://phones.example/pair" in printed.stdout
    return str(re.findall(r"\w{4}-\w{4}$", printed.stdout, re.MULTILINE)[0])


def problems(page: Page) -> list[str]:
    return [*barriers(page), *(["too wide"] if page.evaluate(OVERHANG) > 0 else [])]


def log_in(page: Page, site: Site, path: str = "") -> None:
    """Log in with the token, after a wrong one."""
    page.goto(f"{site.url}{path}")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("wrong token: try again")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()


def test_a_phone_is_let_in_by_the_command_and_sends_photographs_of_its_gallery(
    guarded: Site, windows: Windows, tmp_path: Path
) -> None:
    windows.expected += ["403", "401"]
    phone = windows.open(**PHONE)
    phone.goto(guarded.url)
    assert not problems(phone)
    phone.get_by_role("link", name="enter the code").click()
    phone.get_by_label("Code").fill("0000-0000")
    phone.get_by_role("button", name="Go on").click()
    expect(phone.get_by_role("alert")).to_have_text(re.compile("no code is valid now"))
    assert not problems(phone)
    phone.goto("about:blank")
    phone.goto(f"{guarded.url}pair#{code_of(guarded)}")
    expect(phone).to_have_url(guarded.url)
    photographs = phone.locator("#content")
    expect(photographs).to_have_attribute("accept", "image/*,video/*")  # opens the gallery
    copy = tmp_path / "coast.jpg"
    copy.write_bytes(guarded.sea.read_bytes())
    with phone.expect_file_chooser() as chooser:
        photographs.tap()
    chooser.value.set_files([guarded.sea, copy])
    phone.get_by_role("checkbox", name="wave").check()
    phone.get_by_role("button", name="Start").tap()
    expect(phone.get_by_text("sea-wave, coast-wave were added")).to_be_visible()
    expect(running(phone)).to_be_visible()


def test_phones_are_added_and_removed_on_the_page(guarded: Site, windows: Windows) -> None:
    windows.expected += ["403", "401"]
    desk = windows.open()
    log_in(desk, guarded, "phones")
    for name in ("Ada's phone", "Bea's phone"):
        with desk.expect_navigation():  # the code before it was used
            desk.get_by_role("button", name="Add a phone").click()
        expect(desk.get_by_role("img", name=re.compile("QR code"))).to_be_visible()
        (code,) = re.findall(r"\w{4}-\w{4}", desk.get_by_role("region").inner_text())
        phone = windows.open(script=False, **PHONE)
        phone.goto(f"{guarded.url}pair")
        phone.get_by_label("Code").fill(code.lower())
        phone.get_by_label("Name").fill(name)
        phone.get_by_role("button", name="Go on").click()
        phone.get_by_role("link", name="Phones").click()
        expect(phone.get_by_role("listitem").first).to_contain_text(name)
    assert not problems(desk)
    desk.goto(f"{guarded.url}phones")
    assert not problems(desk)
    desk.on("dialog", lambda dialog: dialog.accept())
    desk.get_by_role("button", name="Remove Bea's phone").click()
    expect(desk.get_by_role("listitem")).to_have_count(1)
    phone.goto(guarded.url)
    expect(phone.get_by_label("Token")).to_be_visible()


def test_shared_photographs_are_confirmed_and_painted(guarded: Site, windows: Windows) -> None:
    windows.expected += ["403"]
    phone = windows.open(**PHONE)
    log_in(phone, guarded)
    file = {"name": "sea.jpg", "mimeType": "image/jpeg", "buffer": guarded.sea.read_bytes()}
    origin = {"Origin": guarded.url.rstrip("/")}
    shared = phone.request.post(f"{guarded.url}share", multipart={"content": file}, headers=origin)
    phone.goto(shared.url)
    see(phone.get_by_role("img", name="photograph sea.jpg"))
    assert not problems(phone)
    phone.get_by_role("checkbox", name="wave").check()
    phone.get_by_role("button", name="Start").tap()
    expect(phone).to_have_url(guarded.url)
    expect(running(phone)).to_be_visible()
