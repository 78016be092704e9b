"""All checks together, and those of the machine, of the cluster and of the alerts."""

import importlib.util
import mmap
import os
import resource
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest.mock import Mock

import pytest
from pydantic import SecretStr
from tests import nodes
from tests.daemon.alert_server import alert_server

from stylewatch_daemon.doctor import diagnose
from stylewatch_daemon.doctor.finding import ok, problem
from stylewatch_daemon.executors.ray import demand as demands
from stylewatch_daemon.executors.ray.demand import Demand
from stylewatch_daemon.executors.ray.messages import Capacity, ClusterLost
from stylewatch_daemon.settings.sections import Alerts

pytestmark = nodes.TIME_ENOUGH
Patch = pytest.MonkeyPatch


def test_a_clock_behind_written_files_is_a_problem(tmp_path: Path) -> None:
    assert diagnose.clock(tmp_path).verdict == diagnose.clock(tmp_path / "missing").verdict == "ok"
    os.utime(tmp_path, (time.time() + 3600,) * 2)
    finding = diagnose.clock(tmp_path)
    assert (finding.verdict, finding.exit_code) == ("problem", 78)


def test_low_limits_of_descriptors_and_watched_folders_are_reported(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    for limit, verdict, code in ((39, "problem", 78), (40, "note", 0), (65_536, "ok", 0)):
        monkeypatch.setattr(resource, "getrlimit", lambda what, limit=limit: (20, limit))
        finding = diagnose.descriptors()
        assert (finding.verdict, finding.exit_code) == (verdict, code)
        assert f"the limit is {limit}" in finding.words
    monkeypatch.setattr(diagnose, "_WATCHES", tmp_path / "limit")
    (tmp_path / "in/a/b").mkdir(parents=True)
    for text, verdict in (("4", "ok"), ("3", "note")):
        (tmp_path / "limit").write_text(text)
        assert diagnose.watches([tmp_path / "in", tmp_path / "missing"]).verdict == verdict


def test_missing_extras_and_a_strict_sandbox_are_reported(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    assert [finding.verdict for finding in diagnose.extras()] == ["ok"] * 6
    assert [finding.verdict for finding in diagnose.sandbox(Path("/"))] == ["ok"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(mmap, "mmap", Mock(side_effect=PermissionError(1, "not permitted")))
    findings = [*diagnose.extras(), *diagnose.sandbox(tmp_path)]
    assert {finding.verdict for finding in findings} == {"note"}
    assert "[clips]'` films" in findings[0].words
    assert "[heic]'` photographs" in findings[1].words
    assert "ProcSubset=all" in findings[6].words
    assert "MemoryDenyWriteExecute=no" in findings[7].words


def test_a_cluster_that_answers_is_reported_with_its_places() -> None:
    """It asks for a token, which this process has in its environment."""
    address = nodes.shared().address
    words = f"{address} answers, with places for 4 jobs at once"
    assert list(diagnose.check_cluster(Demand(address, gpus=0.5))) == [ok("cluster", words)]


def test_a_cluster_without_a_place_or_its_package_is_a_problem(monkeypatch: Patch) -> None:
    answers: dict[str, Capacity | ClusterLost] = {
        "auto answers, and no machine there has GPU 1, tpu 1: correct executor": Capacity(0),
        "access denied": ClusterLost("access denied"),
    }
    for words, answer in answers.items():
        monkeypatch.setattr(diagnose, "_cluster_answer", lambda demand, answer=answer: answer)
        demand = Demand("auto", resources={"tpu": 1})
        assert list(diagnose.check_cluster(demand)) == [problem("cluster", words, 69)]
    monkeypatch.setattr(demands, "version", Mock(side_effect=PackageNotFoundError))
    (finding,) = diagnose.check_cluster(Demand())
    assert (finding.verdict, finding.exit_code) == ("problem", 78)
    assert "[ray]'`" in finding.words


def test_urls_of_alerts_are_checked_and_neither_tried_nor_shown(tmp_path: Path) -> None:
    assert list(diagnose.check_alerts(Alerts())) == []
    with alert_server() as posts:
        (finding,) = diagnose.check_alerts(Alerts(urls=(SecretStr(posts.url),)))
    assert (finding.verdict, posts.got) == ("ok", [])
    (finding,) = diagnose.check_alerts(Alerts(urls=(SecretStr("hushhush"),)))
    assert (finding.verdict, finding.exit_code) == ("problem", 78)
    assert finding.words.startswith("URL 1 of 1: ") and "hush" not in finding.words
    file = tmp_path / "urls"
    file.write_text("json://a\n")
    for mode, verdicts in ((0o644, ["note", "ok"]), (0o640, ["ok"])):
        file.chmod(mode)
        findings = diagnose.check_alerts(Alerts(urls_file=file))
        assert [finding.verdict for finding in findings] == verdicts
