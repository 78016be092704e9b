"""The shortest history of a violation: deeds and settings are taken away while it still occurs.

Hypothesis' stateful machines could do this, but a world is not a list of rules: its deeds overlap
in time, go on in steps, happen amid calls of the daemon, and draw their details from seeds of their
own, so that a plan keeps its meaning when others are removed. Hypothesis would choose and replay
every draw through its own buffer, which makes a world several times slower and its number no name
for it; and worlds could not be split into parts that anybody can repeat.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulate.plan import Plan
from tests.simulate.world import Result

Run = Callable[[Plan], Result]


def shrink(result: Result, run: Run, seconds: float = 60.0) -> Result:
    """Return a result with the same kind of violation and fewer deeds, found within a time."""
    assert result.violation is not None
    wanted, until = result.violation.base, time.perf_counter() + seconds
    best = result
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for plan in _smaller(best.plan):
            if time.perf_counter() > until:
                return best
            tried = run(plan)
            if tried.violation is not None and tried.violation.base == wanted:
                best, is_smaller = tried, True
                break
    return best


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Yield plans that are smaller, those that lack much first."""
    size = len(plan.deeds) // 2
    while size >= 1:
        for start in range(0, len(plan.deeds), size):
            if size < len(plan.deeds):
                yield plan.without(plan.deeds[start : start + size])
        size //= 2
    yield from _simpler(plan)


def _simpler(plan: Plan) -> Iterator[Plan]:
    """Yield plans with simpler settings, and with deeds between calls instead of amid them."""
    settings = plan.settings
    simpler = [
        replace(settings, has_finals=False),
        replace(settings, has_retention=False),
        replace(settings, trash_days=0),
        replace(settings, pace=0.0),
        replace(settings, has_events=True),
        replace(settings, stage_s=0.2),
        replace(settings, default_style=""),
        replace(settings, inboxes=settings.inboxes[:1]),
    ]
    for each in simpler:
        if each != settings:
            yield replace(plan, settings=each)
    for disk, kind in settings.disks:
        disks = tuple(each for each in settings.disks if each[0] != disk)
        homes = tuple(home for home in settings.homes if home[1] != disk)
        yield replace(plan, settings=replace(settings, disks=disks, homes=homes))
        if kind != "ext4":
            disks = tuple((name, "ext4" if name == disk else each) for name, each in settings.disks)
            yield replace(plan, settings=replace(settings, disks=disks))
    for deed in plan.deeds:
        if deed.amid:
            plain = tuple(replace(each, amid=0) if each is deed else each for each in plan.deeds)
            yield replace(plan, deeds=plain)
