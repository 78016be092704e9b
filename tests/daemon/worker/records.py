"""An event of each kind."""

from stylewatch_daemon.base.model import Cause, Progress, Started
from stylewatch_daemon.worker.messages import (
    Done,
    Failed,
    Lost,
    Refused,
    Saving,
    Staged,
    Stopped,
)

EVENTS = (
    Started("torch", "cpu", ((16, 12), (32, 24)), steps_at=(3, 5), warnings=("it is late",)),
    Progress(1, 8, (16, 12), loss=0.5, seconds=0.1),
    Saving(),
    Staged("final.png", "12ab", 8),
    Done({"job": "a/job"}),
    Stopped(3),
    Refused("it is no picture"),
    Failed("it burnt", Cause.DISK, "Traceback ..."),
    Lost("the node is gone"),
)
