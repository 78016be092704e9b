"""The page with a token, below a path of another server, and after its process was killed."""

import http.client
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect
from tests.browser.site import Site, until
from tests.browser.viewer import Windows, barriers, finished, give_pair, running, see, see_stages

TOKEN = "what-nobody-could-guess-in-years"
LOST = "connection lost, trying again"


def test_the_token_opens_the_page_and_logging_out_closes_it(site: Site, windows: Windows) -> None:
    file = site.root / "token"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN}\n")
    site.start("--set", f"web.token_file={file}")
    page = windows.open()
    for token in ("a-word-that-is-not-the-token", TOKEN):
        page.goto(site.url)
        assert not barriers(page)
        page.get_by_label("Token").fill(token)
        page.get_by_role("main").get_by_role("button").click()
        if token != TOKEN:
            expect(page.get_by_text("wrong token")).to_be_visible()
            assert not barriers(page)
    windows.expected.append("403")
    give_pair(page, site)
    see_stages(page, 2)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto(f"{site.url}gallery")
    expect(page.get_by_label("Token")).to_be_visible()
    assert not [url for url in windows.requests if TOKEN in url]
    assert TOKEN not in (site.root / "daemon.log").read_text()


ROOT = "/base"


class Proxy(BaseHTTPRequestHandler):
    """A reverse proxy as docs/web.md has it, to `port`; removes ROOT from paths if it `strips`."""

    port = 0
    strips = False

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

    def _pass_on(self, body: bytes) -> None:
        if not self.path.startswith(f"{ROOT}/"):
            self.send_error(404)
            return
        behind = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        path = self.path.removeprefix(ROOT) if self.strips else self.path
        behind.request(self.command, path, body, {**dict(self.headers), "Connection": "close"})
        answer = behind.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.casefold() not in ("connection", "keep-alive", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        while piece := answer.read1(65536):
            self.wfile.write(piece)
            self.wfile.flush()
        behind.close()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def proxy(port: int, *, strips: bool) -> Iterator[str]:
    """Run a Proxy; yield the address of the page behind it."""
    handler = type("To", (Proxy,), {"port": port, "strips": strips})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{ROOT}/"
        finally:
            server.shutdown()


@pytest.mark.parametrize("strips", [False, True], ids=["path kept", "path removed"])
def test_everything_works_below_a_path_of_another_server(
    site: Site, windows: Windows, strips: bool
) -> None:
    site.start("--set", f"web.path={ROOT}")
    with proxy(site.port, strips=strips) as address:
        page = windows.open()
        page.goto(address)
        give_pair(page, site)
        see_stages(page, 2)
        see(finished(page).get_by_role("img"))
        finished(page).get_by_role("link").first.click()
        page.wait_for_url(f"{address}jobs/*")
        see(page.locator("[data-stage] img"))
        page.get_by_role("button", name="Run again").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("sea-wave-2")
        page.get_by_role("link", name="stylewatch").click()
        see(running(page, "sea-wave-2").get_by_role("img").first)
        page.close()
    paths = {urlsplit(url).path for url in windows.requests if url.startswith("http")}
    assert not [path for path in paths if not path.startswith(f"{ROOT}/")]


def test_viewers_reconnect_to_a_page_that_was_killed_and_to_the_next_daemon(
    page: Page, site: Site, windows: Windows
) -> None:
    give_pair(page, site)
    see_stages(page, 1)
    killed = site.page_process
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    expect(page.get_by_text(LOST)).to_be_visible()
    expect(page.get_by_text(LOST)).to_have_count(0)
    until(lambda: site.page_process not in (None, killed))
    windows.expected.append("ERR_")
    see(finished(page).get_by_role("img"))
    site.end()
    expect(page.get_by_text(LOST)).to_be_visible()
    site.start()
    expect(page.get_by_text(LOST)).to_have_count(0)
    give_pair(page, site)
    assert see_stages(page, 2, "sea-wave-2")
