"""Makes the checks of `doctor` and prints them as JSON; run as a process, told the settings."""

import json
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from stylewatch_daemon.doctor.backends import ask
from stylewatch_daemon.doctor.diagnose import diagnose
from stylewatch_daemon.settings.config import Config, service_settings


def main() -> None:
    """Print the findings for the settings that standard input tells, and the devices."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))  # backends are larger than the page
    asked = json.load(sys.stdin)
    signal.alarm(int(asked["within"]) + 1)  # should nobody be left who would end us
    settings = Config.model_validate(asked["settings"])
    found = [asdict(one) for one in diagnose(service_settings(settings, {}))]
    json.dump({"findings": found, "devices": list(devices(settings))}, sys.stdout)


def devices(settings: Config) -> Iterator[dict[str, Any]]:
    """The devices of the backend that the settings name, whose memory is known."""
    name = settings.job.backend
    for one in ask({"backend": name, "options": settings.backends.get(name, {})}).get(
        "devices", ()
    ):
        if one["memory"] is not None:
            yield {"name": one["name"], "memory": one["memory"]}


if __name__ == "__main__":
    main()
