"""All that the doctor looks at, in the order in which it is best mended."""

from collections.abc import Iterator
from pathlib import Path

from stylewatch_daemon.doctor import backends, cluster, machine, places
from stylewatch_daemon.doctor.finding import Finding
from stylewatch_daemon.settings.config import ServiceSettings


def diagnose(settings: ServiceSettings) -> Iterator[Finding]:
    """What there is to say of a daemon with `settings` on this machine, as it is found."""
    yield from places.look(settings)
    yield machine.watches([inbox.path for inbox in settings.inboxes])
    yield machine.descriptors()
    yield from backends.look(settings)
    yield from cluster.look(settings.executor.cluster)
    yield machine.clock(settings.state.path)
    yield from machine.extras()
    yield from machine.sandbox(Path("/"))
