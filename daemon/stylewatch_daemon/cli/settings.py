"""Commands about the installation: settings, alerts, doctor, recipes."""

import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import typer
import yaml

from stylewatch_daemon.app.alert_sender import IN_WORDS, Message, send, unusable, url_number
from stylewatch_daemon.base.errors import SettingsError, UnavailableError
from stylewatch_daemon.base.words import columns
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.exit_codes import echo, echo_json, echo_result
from stylewatch_daemon.doctor import backends
from stylewatch_daemon.doctor.finding import Verdict
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import Start
from stylewatch_painter.errors import RecipeError, RecipesAwayError
from stylewatch_painter.recipes import book
from stylewatch_plugins import registry

config_ = typer.Typer(no_args_is_help=True, help="Check, show and describe the settings.")
alerts = typer.Typer(no_args_is_help=True, help="Test the URLs that alerts are sent to.")

ALERT_TIMEOUT_S = 60.0


@config_.command()
def check(config_file: options.Config = None) -> None:
    """Report every mistake in config.yaml at once, each with its line."""
    from stylewatch_daemon.app import settings_file

    path = config_file or config.find()
    settings = config.read(path)
    looks = (*settings_file.ALL, settings_file.default_style, _recipes, _alerts, _backends)
    sentences = settings_file.mistakes(settings, looks)
    if sentences:
        raise SettingsError("\n".join(sentences))
    echo(f"{path} has no mistakes")


def _recipes(settings: config.ServiceSettings) -> Iterator[str]:
    if not settings.origin.spoils("recipes", "job.recipe"):
        config.check_recipes(settings)
    yield from ()


def _alerts(settings: config.ServiceSettings) -> list[str]:
    return [f"alerts: {reason}" for reason in unusable(settings.alerts.targets().urls)]


def _backends(settings: config.ServiceSettings) -> Iterator[str]:
    keys = {name: f"backends.{name}" for name in settings.backends}
    own = settings.job.backend
    if settings.origin.spoils("job.backend"):
        keys.pop(own, None)
    elif own not in registry.names():
        keys[own] = "job.backend"
    elif settings.job.device is not None:
        keys.setdefault(own, "job.device")
    for name, key in keys.items():
        findings = backends.run("backend", name, settings.options_of(name))
        yield from (f"{key}: {finding.words}" for finding in findings if finding.exit_code)


@config_.command()
def show(
    config_file: options.Config = None,
    sets: options.Sets = None,
    json: options.AsJson = False,
) -> None:
    """Show the settings in force, the defaults included."""
    path = config_file or config.find()
    settings = config.load(path, options.parse_sets(sets))
    plain = settings.model_dump(mode="json", exclude={"overrides"})
    echo_result(plain, f"# from {path}\n{_yaml(plain)}", json=json)


@config_.command()
def schema(
    receipt: bool = typer.Option(False, "--receipt", help="That of receipt.json, for programs."),
) -> None:
    """Print a JSON schema of config.yaml, for editors."""
    echo_json((Receipt if receipt else config.Config).model_json_schema())


@alerts.command()
def test(config_file: options.Config = None) -> None:
    """Send a message to each URL in `alerts`, and report which it reached."""
    path = config_file or config.find()
    urls = config.load(path).alerts.targets().urls
    if not urls:
        raise SettingsError(f"{path}: alerts has no URLs; add them as urls, or with urls_file")
    text = f"Alerts of {shown(socket.gethostname())} arrive here."
    outcomes = send(urls, Message("stylewatch: test", text), ALERT_TIMEOUT_S)
    for number, outcome in enumerate(outcomes):
        echo(f"{url_number(number, len(urls))}: {IN_WORDS[outcome]}")
    missed = sum(outcome != "sent" for outcome in outcomes)
    if missed > 0:
        raise UnavailableError(f"{missed} of {len(urls)} URLs were not reached")


def doctor(
    config_file: options.Config = None, sets: options.Sets = None, json: options.AsJson = False
) -> None:
    """Find what keeps the daemon from working, and how to fix it."""
    from stylewatch_daemon.doctor.diagnose import diagnose

    findings = []
    for finding in diagnose(Start(config_file, options.parse_sets(sets))):
        findings.append(finding)
        if not json:
            echo(shown(f"{finding.verdict:<7}  {finding.what}: {finding.words}"))
    if json:
        echo_json([asdict(finding) for finding in findings])
    else:
        counts = Counter(finding.verdict for finding in findings)
        echo(", ".join(f"{verdict}: {counts[verdict]}" for verdict in Verdict))
    codes = [finding.exit_code for finding in findings if finding.exit_code]
    raise typer.Exit(codes[0] if codes else 0)


def recipes(
    name: str | None = typer.Argument(
        None, metavar="NAME", help="Print this recipe, complete, as YAML to start from."
    ),
    config_file: options.Config = None,
    json: options.AsJson = False,
) -> None:
    """List the recipes that a job can name, or print one."""
    folders = config.load(config_file).recipes
    if name is not None:
        plain = book.find(name, *folders).model_dump(mode="json")
        echo_result(plain, _yaml(plain), json=json)
        return
    rows = []
    for recipe_name in book.names(*folders):
        try:
            recipe = book.find(recipe_name, *folders)
            rows.append({"name": recipe_name, "about": recipe.about, "source": recipe.source})
        except (RecipeError, RecipesAwayError) as error:  # the other recipes are still listed
            rows.append({"name": recipe_name, "about": f"broken: {error}"})
    lines = ((shown(row["name"]), shown(" ".join(row["about"].split()))) for row in rows)
    echo_result(rows, columns(lines), json=json)


def _yaml(plain: Mapping[str, Any]) -> str:
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100).rstrip()
