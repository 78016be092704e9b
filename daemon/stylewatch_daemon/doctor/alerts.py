"""The doctor's look at alerts: whether apprise knows the URLs, and who else can read them."""

from collections.abc import Iterator

from stylewatch_daemon.alerts.send import unusable
from stylewatch_daemon.doctor.finding import Finding, mend, note, ok
from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings.sections import Alerts


def look(alerts: Alerts) -> Iterator[Finding]:
    """What there is to say of `alerts`; nothing is sent. Nothing, where none are wanted."""
    if not alerts.wanted:
        return
    try:
        urls = alerts.targets().urls
    except SettingsError as error:
        yield mend("alerts", str(error).removeprefix("alerts: "), error.exit_code)
        return
    if alerts.urls_file is not None and alerts.urls_file.stat().st_mode & 0o004:
        yield note(
            "alerts",
            f"everybody can read {alerts.urls_file}, and the URLs in it are secrets: "
            "`chmod o= FILE` leaves it to its owner and group",
        )
    wrong = unusable(urls)
    yield from (mend("alerts", why, SettingsError.exit_code) for why in wrong)
    if not wrong:
        kinds = ", ".join(alerts.events)
        yield ok("alerts", f"{kinds} to {len(urls)} URLs; `stylewatch alerts test` tries them")
