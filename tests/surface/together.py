"""Two mistakes at once are both told, wherever each of them is made (law 25)."""

import os
import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

from tests.surface.ways import as_yaml

from stylewatch_daemon.app import settings_file
from stylewatch_daemon.base.errors import DaemonError
from stylewatch_daemon.cli.options import parse_sets
from stylewatch_daemon.settings import config

Texts = Mapping[str, str]
"""Texts in YAML by dotted keys: those of a mistake, with all that it depends on."""

MISTAKES: tuple[Texts, ...] = (
    {"job.seed": "-1"}, {"job.size": "[x]"}, {"job.recipe": "nope"}, {"job.stepps": "3"},
    {"job.recipe": "best", "job.size": "64", "job.set.stepps": "3"},
    {"job.depth": "16", "job.format": "jpg"},
    {"job.backend": "sketch", "job.device": "3"},
    {"limits.memory": "x"}, {"retention.stages": "x"}, {"watch.quite_s": "1"}, {"nokey": "3"},
    {"backends.sketch": "3"}, {"executor.hours": "x"}, {"executor.kind": "rya"},
    {"executor.kind": "ray", "executor.workers": "2"},
    {"executor.kind": "local", "executor.gpus_per_job": "2"},
    {"executor.kind": "ray", "executor.resources": "{GPU: 1}"},
    {"hooks.done": "[nope-prog]"}, {"alerts.urls_file": "/gone/urls"}, {"alerts.events": "[x]"},
    {"inboxes": "[{path: in, outbox: in/out}]", "state.path": "st", "pairing.styles": "styles"},
    {"inboxes": "[{pahth: in}]"},
    {"pairing.styles": "styles", "pairing.default_style": "zz"}, {"pairing.styles": "3"},
    {"web.listen": "127.0.0.1:1", "web.token_file": "/gone/token"}, {"web.upload": "x"},
    {"web.listen": "0.0.0.0:80", "web.token_file": "null"},
)  # fmt: skip

UNREADABLE: Texts = {"log.level": "["}
"""Texts that are no YAML, so that nothing is known of their file."""

FILE, VARIABLE, OPTION = "config.yaml", "environment", "--set"

Case = tuple[tuple[str, int], tuple[str, int]]
"""Two mistakes by their numbers, each with its way."""

ALL = (*MISTAKES, UNREADABLE)


def said(folder: Path, *made: tuple[str, int]) -> frozenset[str]:
    """Return the sentences about mistakes, without their places."""
    texts: dict[str, dict[str, str]] = {FILE: {}, VARIABLE: {}, OPTION: {}}
    for way, number in made:
        texts[way] |= ALL[number]
    (folder / "styles").mkdir(exist_ok=True)
    (folder / "styles/wave.png").write_bytes(b"a picture")
    file = folder / "config.yaml"
    file.write_text(as_yaml(texts[FILE]) if texts[FILE] else "")
    variables = {
        config.VARIABLE + key.replace(".", "__").upper(): text
        for key, text in texts[VARIABLE].items()
    }
    sets = parse_sets([f"{key}={text}" for key, text in texts[OPTION].items()])
    with patch.dict(os.environ, variables):
        try:
            settings = config.read(file, sets)
            found = settings_file.mistakes(settings, settings_file.ALL)
        except DaemonError as error:
            found = str(error).splitlines()
    place = rf"({re.escape(str(file))}( line \d+)?|environment|command line): "
    return frozenset(re.sub(place, "", each) for each in found)


def cases() -> Iterator[Case]:
    """Yield all pairs of mistakes that have no key in common, on all pairs of ways."""
    pairs = ((FILE, FILE), (FILE, VARIABLE), (FILE, OPTION), (VARIABLE, OPTION), (OPTION, OPTION))
    for first, second in combinations(range(len(ALL)), 2):
        if ALL[first].keys().isdisjoint(ALL[second]):
            for ways in pairs:
                if (FILE, UNREADABLE) not in zip(ways, (ALL[first], ALL[second]), strict=True):
                    yield (ways[0], first), (ways[1], second)


def breaches(folder: Path, case: Case) -> Iterator[str]:
    """Yield the sentences that two mistakes hide or make."""
    together, alone = said(folder, *case), [said(folder, each) for each in case]
    if together != alone[0] | alone[1]:
        yield f"hidden: {(alone[0] | alone[1]) - together}; more: {together - alone[0] - alone[1]}"
