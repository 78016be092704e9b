"""Entries of the doctor's process in tests of the page, in place of its checks."""

import time
from multiprocessing.connection import Connection

from stylewatch_daemon.doctor.backends import Device
from stylewatch_daemon.doctor.finding import ok
from stylewatch_daemon.processes.child import send
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.web.doctor_runner import Report

CHECK = "tests.daemon.web.doctors:check"


def check(pipe: Connection, settings: Config) -> None:
    """Find something, and record the call in the folder of the state folder."""
    with (settings.state.path.parent / "log").open("a") as log:
        print(settings.job.backend, file=log)
    send(pipe, Report((ok("disk", "has room"),), (Device("cuda:0", memory=9),)))


def exits(pipe: Connection, settings: Config) -> None:
    """Find nothing."""


def hangs(pipe: Connection, settings: Config) -> None:
    time.sleep(600)
