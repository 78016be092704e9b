"""Settings of a daemon made from a few plain values, with config.yaml's sections filled in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.sections import Executor, Inbox, Outbox

_SECTIONS = ("watch", "pairing", "limits", "executor")


def make_inbox(
    path: Path,
    outbox: Path,
    after: Literal["archive", "keep", "delete"] = "archive",
    weight: float = 1.0,
) -> Inbox:
    return Inbox(path=path, outbox=outbox, after=after, weight=weight)


def make_settings(inboxes: Sequence[Inbox], state: Path, **values: Any) -> ServiceSettings:
    """Settings with `values` as for `changed_settings`."""
    return changed_settings(ServiceSettings(), inboxes=tuple(inboxes), state=state, **values)


def changed_settings(settings: ServiceSettings, **values: Any) -> ServiceSettings:
    """`settings` with other `values`: whole sections, or keys of those in _SECTIONS.

    `state` is a path, `cluster` a Demand, `sharing` a Sharing, `recipe_folders` are `recipes`.
    """
    if "state" in values:
        values["state"] = settings.state.model_copy(update={"path": values["state"]})
    if "recipe_folders" in values:
        values["recipes"] = values.pop("recipe_folders")
    if (sharing := values.pop("sharing", None)) is not None:
        mode = None if sharing.mode is None else f"{sharing.mode:04o}"
        values["outbox"] = Outbox(mode=mode, group=sharing.group)
    if "cluster" in values:
        demand = values.pop("cluster")
        values["executor"] = (
            Executor()
            if demand is None
            else Executor(
                kind="ray",
                address=demand.address,
                gpus_per_job=demand.gpus,
                labels=dict(demand.labels),
                resources=dict(demand.resources),
            )
        )
    for name in _SECTIONS:
        section = values.get(name, getattr(settings, name))
        own = {key: values.pop(key) for key in type(section).model_fields if key in values}
        if own:
            values[name] = section.model_copy(update=own)
    assert values.keys() <= ServiceSettings.model_fields.keys(), values
    return settings.model_copy(update=values)
