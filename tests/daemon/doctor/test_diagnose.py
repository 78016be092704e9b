"""The checks of the machine, of the cluster and of the alerts."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import SecretStr
from tests import nodes
from tests.daemon.alert_server import alert_server
from tests.daemon.world import make_settings

from stylewatch_daemon.doctor import diagnose
from stylewatch_daemon.doctor.finding import Finding, note, ok, problem
from stylewatch_daemon.settings import executors
from stylewatch_daemon.settings.sections import AlertSettings
from stylewatch_painter import installed
from stylewatch_ray import driver_client
from stylewatch_ray import settings as ray_settings

pytestmark = nodes.TIME_ENOUGH
Patch = pytest.MonkeyPatch


def found(monkeypatch: Patch, name: str, **values: Any) -> list[Finding]:
    """The findings of one check on settings with other `values`."""
    with monkeypatch.context() as patch:
        patch.setattr(diagnose, "CHECKS", {name: diagnose.CHECKS[name]})
        return [*diagnose.look(make_settings((), Path("state"), **values))]


def test_missing_extras_are_reported_with_their_use(monkeypatch: Patch) -> None:
    words = "installed: clips, heic, raw, jxl, notify, web, ray"
    assert found(monkeypatch, "extras") == [ok("extras", words)]
    monkeypatch.setattr(executors, "find_spec", lambda name: None)
    *notes, last = found(monkeypatch, "extras")
    assert {finding.verdict for finding in notes} == {"note"}
    assert "[clips]'` films" in notes[0].words
    assert last == ok("extras", "installed: none")


def test_what_packages_bring_and_cannot_be_used_is_a_note(monkeypatch: Patch) -> None:
    monkeypatch.setattr(installed, "_left_out", {})
    assert found(monkeypatch, "packages") == []
    installed.leave_out("'odd' of the losses of package odd", "it lacks formula")
    words = "'odd' of the losses of package odd is left out: it lacks formula"
    assert found(monkeypatch, "packages") == [note("packages", words)]


def test_a_cluster_that_answers_is_reported_with_its_places(monkeypatch: Patch) -> None:
    """It asks for a token, which this process has in its environment."""
    address = nodes.shared().address
    words = f"{address} answers, with places for 4 jobs at once"
    cluster = {"address": address, "gpus_per_job": 0.5}
    assert found(monkeypatch, "cluster", cluster=cluster) == [ok("cluster", words)]
    assert found(monkeypatch, "cluster") == []


def test_a_cluster_without_a_place_or_its_package_is_a_problem(monkeypatch: Patch) -> None:
    cluster = {"resources": {"tpu": 1}}
    monkeypatch.setattr(driver_client, "places", lambda demand: 0)
    words = "auto answers, and no machine there has GPU 1, tpu 1: correct executor"
    assert found(monkeypatch, "cluster", cluster=cluster) == [problem("cluster", words, 69)]
    monkeypatch.setattr(ray_settings, "version", Mock(side_effect=PackageNotFoundError))
    (finding,) = found(monkeypatch, "cluster", cluster={})
    assert (finding.verdict, finding.exit_code) == ("problem", 78)
    assert "[ray]'`" in finding.words


def test_urls_of_alerts_are_checked_and_neither_tried_nor_shown(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    assert found(monkeypatch, "alerts") == []
    with alert_server() as posts:
        alerts = AlertSettings(urls=(SecretStr(posts.url),))
        (finding,) = found(monkeypatch, "alerts", alerts=alerts)
    assert (finding.verdict, posts.got) == ("ok", [])
    (finding,) = found(monkeypatch, "alerts", alerts=AlertSettings(urls=(SecretStr("hushhush"),)))
    assert (finding.verdict, finding.exit_code) == ("problem", 78)
    assert finding.words.startswith("URL 1 of 1: ") and "hush" not in finding.words
    file = tmp_path / "urls"
    file.write_text("json://a\n")
    file.chmod(0o644)
    findings = found(monkeypatch, "alerts", alerts=AlertSettings(urls_file=file))
    assert [finding.verdict for finding in findings] == ["note", "ok"]
