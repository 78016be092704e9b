"""`stylewatch phone`: a code with which a phone may use the page."""

import io
import sys

from stylewatch_daemon.base.errors import SettingsError, UnavailableError
from stylewatch_daemon.cli import options, service
from stylewatch_daemon.cli.exit_codes import echo, note
from stylewatch_daemon.cli.output_target import reporting_write_errors
from stylewatch_daemon.client import status_json
from stylewatch_daemon.doctor.addresses import IN_THE_CLEAR, url_for_phones
from stylewatch_daemon.files import account
from stylewatch_daemon.settings import config
from stylewatch_daemon.web.codes import LASTS_S, TRIES, Codes

_BLOCKS = " ▀▄█"
"""The characters of a QR code; each has two of its squares, one above the other."""

_WHITE_ON_BLACK, _PLAIN = "\x1b[97;40m", "\x1b[0m"


def phone(config_file: options.Config = None) -> None:
    """Make a code that lets one phone, or browser, use the page."""
    path = config_file or config.find()
    settings = config.load(path)
    url = url_for_phones(settings.web)
    page = config.web_page(settings)
    if page is None or page.token is None:
        raise SettingsError(f"{url}/ asks nobody for a code, as web.token_file is not set")
    state = settings.state.path
    if not status_json.is_at_work(state):
        start = service.start_command(path, config_file, None)
        raise UnavailableError(f"the page is not served: `{start}` starts it")
    codes = Codes(state, page.token)
    with reporting_write_errors(codes.path), account.owning(state):
        code = codes.make()
    if not url.startswith("https:"):
        note(IN_THE_CLEAR)
    echo(f"{_drawn(f'{url}/pair#{code}')}\n")
    echo(f"Point the camera of the phone at it, or open {url}/pair there, and enter  {code}")
    echo(f"The code is valid once, for {LASTS_S / 60:g} minutes, with {TRIES} tries.")


def _drawn(link: str) -> str:
    """Return a QR code in the characters and colors of this terminal."""
    import segno

    encoding = sys.stdout.encoding or "utf-8"
    has_blocks = "?" not in _BLOCKS.encode(encoding, "replace").decode(encoding)
    text = io.StringIO()
    segno.make(link, micro=False).terminal(text, compact=has_blocks)
    lines = text.getvalue().splitlines()
    if has_blocks and sys.stdout.isatty():  # otherwise dark and light depend on its colors
        lines = [f"{_WHITE_ON_BLACK}{line}{_PLAIN}" for line in lines]
    return "\n".join(lines)
