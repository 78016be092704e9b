"""The code, settings and commands in README.md, docs/ and bench/figures/ are right.

Every fenced block states its kind: `python` is run, page by page, from top to bottom; `console
run` is run and must print what is shown; of `console` and `sh` the commands and options must
exist; `yaml config`, `yaml job` and `yaml recipe` must be valid; `json` and `toml` must be well
formed; `text` and `ini` are free.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from PIL import Image

from stylewatch_daemon.cli.main import call, make_app
from stylewatch_daemon.cli.options import NAMES, flag
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.job import DESCRIBED, JobFile, JobSettings
from stylewatch_daemon.web import job_form
from stylewatch_export.cli import app as export
from stylewatch_painter.recipes import book

ROOT = Path(__file__).parents[1]
FIGURES = sorted((ROOT / "bench" / "figures").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "export" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
OTHER_PROGRAMS = {
    "cd", "chromium", "cp", "echo", "git", "ls", "mkdir", "pip", "pipx", "python", "python3",
    "sha256sum", "sleep", "sudo", "systemctl", "trap", "until", "uv",
}  # fmt: skip
COMMAND: Any = typer.main.get_command(make_app())
EXPORT = typer.main.get_command(export)


FILE = re.compile(r"`((?:bench|daemon|export|plugins|systemd|tests)/[\w./-]+\.\w+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, its first line there, its kind."""

    page: Path
    line: int
    kind: str
    body: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Each command line of a console or sh block, with the output shown below it."""
        joined = self.body.replace("\\\n", "")
        if self.kind == "sh":
            joined = re.sub(r"^(?=[^#\s])", "$ ", joined, flags=re.MULTILINE)
        for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
            command, *output = part.rstrip().split("\n")
            yield command, output


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, fence.start()) + 2, fence[2].strip(), dedent(fence[3]))
        for fence in FENCE.finditer(text)
    ]


BLOCKS = [block for page in [*PAGES, *FIGURES] for block in blocks(page)]
by_page = pytest.mark.parametrize(
    "page", [*PAGES, *FIGURES], ids=lambda page: page.relative_to(ROOT).as_posix()
)


@by_page
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.kind == "python":
            exec(compile("\n" * (block.line - 1) + block.body, str(page), "exec"), namespace)


@pytest.mark.parametrize("recipe", book.names())
def test_the_example_of_the_library_paints_what_the_command_paints(
    recipe: str, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    example = next(block.body for block in blocks(ROOT / "docs/library.md"))
    changed = "{'size': 32, 'steps': 2, 'scales': [], 'preview': None}"
    example, count = re.subn(
        r'book.find\("best"\), {.*?}', f"book.find({recipe!r}), {changed}", example
    )
    assert count == 1
    exec(example, {"__name__": "__main__"})
    words = shlex.split(
        f"--recipe {recipe} --size 32 --steps 2 --set scales=[] --set preview=null --seed 1 "
        "--backend torch --device cpu -o command.png -q"
    )
    assert call(["render", "content.jpg", "style.jpg", *words]) == 0
    library, command = (np.asarray(Image.open(f"{name}.png")) for name in ("painted", "command"))
    assert np.array_equal(library, command)


def program_of(line: str) -> list[str]:
    """The words of the first program on a command line, without what it is piped into."""
    line = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line)  # variables
    words = shlex.split(line, comments=True)
    ends = [i for i, word in enumerate(words) if word in ("|", "&&", ";", ">", "2>", "&")]
    return words[: min(ends, default=len(words))]


def unknown(command: Any, words: list[str]) -> list[str]:
    """Those of the words that name no command inside `command`, or no option of it."""
    options = {"--help", "-h"} | {name for param in command.params for name in param.opts}
    strange = []
    for word in words:
        if word.startswith("-"):
            strange += [word] if word.partition("=")[0] not in options else []
        elif word in getattr(command, "commands", {}):
            command = command.commands[word]
            options |= {name for param in command.params for name in param.opts}
        elif hasattr(command, "commands"):
            strange.append(word)
    return strange


def commands_exist(block: Block, folder: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([\w-]+):", makefile, re.MULTILINE)
    shown = [program_of(line) for line, _ in block.commands]
    assert shown, "no command: in a console block it stands after '$ '"
    for program, *words in shown:
        if program == "stylewatch":
            assert not unknown(COMMAND, words)
        elif program == "stylewatch-export":
            assert not unknown(EXPORT, words)
        elif program == "make":
            assert not [word for word in words if "=" not in word and word not in targets]
        else:
            assert program in OTHER_PROGRAMS


def commands_print_what_is_shown(block: Block, folder: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for line, output in block.commands:
        ended = subprocess.run(
            line, shell=True, cwd=folder, env={**os.environ, "PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        shown = ".*".join(re.escape(text.strip()).replace(r"\.\.\.", ".*") for text in output)
        assert re.search(shown, ended.stdout + ended.stderr, re.DOTALL)


def config_is_valid(block: Block, folder: Path) -> None:
    (folder / "config.yaml").write_text(block.body, encoding="utf-8")
    config.load(folder / "config.yaml")


def recipe_is_valid(block: Block, folder: Path) -> None:
    (folder / "shown.yaml").write_text(block.body, encoding="utf-8")
    book.find(str(folder / "shown.yaml"))


CHECKS: dict[str, list[Callable[[Block, Path], object]]] = {
    "python": [],  # run as a page
    "console": [commands_exist],
    "sh": [commands_exist],
    "console run": [commands_exist, commands_print_what_is_shown],
    "yaml config": [config_is_valid],
    "yaml job": [lambda block, _: JobSettings.model_validate(yaml.safe_load(block.body)).resolve()],
    "yaml recipe": [recipe_is_valid],
    "json": [lambda block, _: json.loads(block.body)],
    "toml": [lambda block, _: tomllib.loads(block.body)],
    "text": [],
    "ini": [],
}


@pytest.mark.parametrize("block", [block for block in BLOCKS if CHECKS.get(block.kind)], ids=str)
def test_a_block_is_of_its_kind(block: Block, pictures: Path) -> None:
    for check in CHECKS[block.kind]:
        check(block, pictures)


@by_page
def test_links_lead_somewhere_and_every_block_is_closed_and_of_a_known_kind(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(blocks(page))
    assert not {block.kind for block in blocks(page)} - CHECKS.keys()
    text = FENCE.sub("", text)
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|href)=\"([^\"#]+)", text)
    links = [first or second for first, second in targets]
    here = [link for link in links if not re.match(r"https?:|mailto:", link)]
    assert not [link for link in here if not (page.parent / link).exists()]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(
        r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE
    )
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@by_page
def test_a_link_into_a_page_leads_to_a_heading(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([\w./-]*\.md)?#([^)\s]+)\)", text)
    targets = [(page.parent / name if name else page, anchor) for name, anchor in links]
    assert not [(path.name, anchor) for path, anchor in targets if anchor not in anchors(path)]


ROW = re.compile(r"^\| ((?:`[^`]+`(?:, )?)+) \| (.+) \|$", re.MULTILINE)
SIDES = ("objective", "schedule")


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted names of all that is not a mapping in `value`, with their values."""
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in value.items():
        yield from leaves(inner, f"{name}.{key}" if name else key)


def rows_of_recipe(name: str) -> Iterator[tuple[str, Any, str]]:
    """Yield the fields in the table of a recipe, each with the values shown, and its source."""
    page = (ROOT / "docs" / "recipe-reference.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
    for cell, source in ROW.findall(section):
        for text in re.findall("`([^`]+)`", cell):
            field = yaml.safe_load(text)
            ((key, value),) = field.items() if isinstance(field, dict) else [(field, {})]
            yield key, value, source


def fields_of(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of both sides of a recipe by their dotted names, without the side."""
    return {name: value for side in SIDES for name, value in leaves(recipe.get(side) or {})}


@pytest.mark.parametrize("name", book.names())
def test_the_reference_of_recipes_gives_the_source_of_every_field(name: str) -> None:
    """Values that it shows are the recipe's; a field belongs to the row with its longest name."""
    recipe = book.find(name)
    real = fields_of(recipe.model_dump(mode="json"))
    file = fields_of(yaml.safe_load(book.packaged()[name].read_text(encoding="utf-8")))
    rows = list(rows_of_recipe(name))
    shown = {leaf: value for key, values, _ in rows for leaf, value in leaves(values, key)}
    assert not {leaf: v for leaf, v in shown.items() if v != real[leaf] and str(v) != real[leaf]}

    sources = {key: source for key, _, source in rows}
    assert len(sources) == len(rows), "a field has two sources"
    source_of = {}
    for leaf in file.keys() | (real.keys() & sources.keys()):
        keys = [key for key in sources if f"{leaf}.".startswith(f"{key}.")]
        assert keys, f"{leaf} has no source"
        source_of[leaf] = max(keys, key=len)
    assert sources.keys() == set(source_of.values()), "a row without a field of its own"
    ours = {leaf for leaf, key in source_of.items() if re.match(r"ours\b", sources[key])}
    assert ours == {field.partition(".")[2] for field in recipe.ours}


MOST_PAGES, MOST_BYTES = 24, 240 * 1024


def test_the_pages_stay_short_enough_to_be_read() -> None:
    """Say each thing once, and link to it; what only the code needs is said there."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    assert len(pages) <= MOST_PAGES
    assert sum(page.stat().st_size for page in pages) <= MOST_BYTES


MAPPINGS = {"inboxes", "backends", "executor.resources", "job.file_names", "job.set"}
"""Settings whose keys are free, and the list of inboxes."""


def shown_defaults(page: str) -> Iterator[tuple[str, Any]]:
    """Yield the keys in the tables of a page on settings, each with its default."""
    daemon, _, job = page.partition("\n## A job\n")
    for part, prefix in ((daemon, ""), (job, "job.")):
        for names, values in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", part, re.MULTILINE):
            keys = re.findall(r"`([\w.]+)`", names)
            defaults = re.split(r", (?![^\[]*\])", values)
            for key, default in zip(keys, len(keys) * defaults, strict=False):
                yield (
                    prefix + key,
                    None if default == "none" else yaml.safe_load(default.strip("`")),
                )


def test_the_page_on_settings_gives_every_key_with_its_default() -> None:
    shown = dict(shown_defaults((ROOT / "docs" / "settings.md").read_text(encoding="utf-8")))
    real = dict(leaves(config.Config().model_dump(mode="json")))
    file = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    assert dict(leaves(file)).keys() == real.keys()
    (inbox,) = real.pop("inboxes")
    real |= leaves(inbox, "inboxes")
    assert not real.keys() - shown.keys()
    assert shown.keys() - real.keys() == MAPPINGS
    default = config.override(config.Config(), {})
    for key in real:
        if key.startswith("inboxes") or shown[key] is None:
            assert (shown[key] or None) == (real[key] or None), key
        else:
            assert config.override(config.Config(), {key: shown[key]}) == default, key


def rows_of_job_settings() -> str:
    """Return the table of docs/settings.md: each setting with its default and what it means."""
    defaults = dict(leaves(JobFile().model_dump(mode="json"))) | {"set": {}, "file_names": {}}
    rows = ["| key | default | meaning |", "| --- | --- | --- |"]
    for name, described in DESCRIBED.items():
        default = defaults.pop(name)
        if default in ([], {}):
            shown = "none"
        elif isinstance(default, str):
            shown = f"`{json.dumps(default) if '{' in default else default}`"
        else:
            shown = json.dumps(default)
        rows.append(f"| `{name}` | {shown} | {described.text} |")
    assert not defaults
    return "\n".join(rows)


def test_the_table_of_job_settings_says_what_the_program_says_of_them() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    _, _, job = page.partition("\n## A job\n")
    table = re.search(r"^\| key .*?(?=\n\n)", f"{job}\n\n", re.MULTILINE | re.DOTALL)
    assert table is not None
    assert table[0].rstrip() == rows_of_job_settings()


def code_in(page: str, begin: str, end: str) -> list[str]:
    """Return the words of code on a page of docs/ from the text `begin` to the text `end`."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(begin)
    assert found, f"{page} has no {begin!r}"
    listed, found, _ = rest.partition(end)
    assert found, f"{page} has no {end!r} after {begin!r}"
    return re.findall("`([^`]+)`", listed)


def test_the_page_on_the_api_lists_every_setting_of_its_forms() -> None:
    assert sorted(code_in("api.md", "\nA new job takes ", ", with")) == sorted(job_form.NAMES)


@pytest.mark.parametrize("name", ["render", "try", "submit", "retry"])
def test_the_page_on_commands_lists_every_option_of_a_job(name: str) -> None:
    *of_all, option, exception = code_in("cli.md", "of the same name:\n\n", "\n\n")
    listed = {*of_all} if name == exception else {*of_all, option}
    if name != "retry":
        listed |= {word.split()[0] for word in code_in("cli.md", "not for `retry`: ", "\n")}
    of_jobs = {*map(flag, NAMES)}
    options = [{*param.opts, *param.secondary_opts} for param in COMMAND.commands[name].params]
    assert listed == {word for words in options if words & of_jobs for word in words}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    names = FILE.findall(page.read_text(encoding="utf-8"))
    assert [name for name in names if "NAME" not in name and not (ROOT / name).exists()] == []
