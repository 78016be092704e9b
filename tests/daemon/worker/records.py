"""An order, and an event of each kind."""

from pathlib import Path

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.messages import (
    Done,
    Failed,
    Lost,
    Order,
    Part,
    Refused,
    Saving,
    Staged,
    Stopped,
)

PART = Part("seed=1", "seed 1", "done", "outbox", "cats/seed=1")

ORDER = Order(
    "a/job",
    JobSettings(size="32", set={"steps": 3}, style_weights=(1.0,)),
    content=Path("content.jpg"),
    styles=(Path("style.jpg"),),
    staging=Path("staging"),
    backend_options={"device": "cpu"},
    attempts=({"backend": "torch", "ended": "failed"},),
)
EVENTS = (
    Started("torch", "cpu", ((16, 12), (32, 24)), steps_at=(3, 5), warnings=("it is late",)),
    Progress(1, 8, (16, 12), loss=0.5, seconds=0.1),
    Saving(),
    Staged("final.png", "12ab", 8),
    Done({"job": "a/job"}),
    Stopped(3),
    Refused("it is no picture"),
    Failed("it burnt", 73, "Traceback ..."),
    Lost("the node is gone"),
)
