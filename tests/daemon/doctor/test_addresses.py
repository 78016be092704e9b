"""Addresses of this machine: which are offered to phones, and what if one has gone."""

from pathlib import Path

import pytest
from tests.daemon.world import make_settings

from stylewatch_daemon.base.errors import SettingsError, UnavailableError
from stylewatch_daemon.doctor import addresses, diagnose
from stylewatch_daemon.settings.sections import WebSettings

Patch = pytest.MonkeyPatch
TABLE = [
    ("lo", "127.0.0.1"), ("docker0", "172.17.0.1"), ("br-1f2e3d", "172.18.0.1"),
    ("veth0a", "10.1.0.1"), ("cni0", "10.88.0.1"), ("virbr0", "192.168.122.1"), ("wg0", "10.9.0.2"),
    ("eth0", "192.168.1.7"), ("eth1", "172.31.0.7"), ("br0", "10.0.0.7"), ("ppp0", "8.8.8.8"),
    ("eth2", "172.32.0.1"), ("wan0", "100.64.0.1"), ("eth3", "169.254.3.3"), ("lo", "::1"),
    ("eth0", "fd12::7"), ("eth0", "fe80::7"), ("eth0", "2001:db8::7"),
]  # fmt: skip


REAL = ("eth0", "eth1", "eth2", "eth3", "br0", "wan0")
"""The interfaces of the table that are network cards, or above one."""


def web(listen: str, **more: object) -> WebSettings:
    return WebSettings.model_validate({"listen": listen, "token_file": Path("token"), **more})


def test_only_private_addresses_of_real_networks_are_offered(monkeypatch: Patch) -> None:
    assert ("lo", "127.0.0.1") in [*addresses.interfaces()]
    monkeypatch.setattr(addresses, "interfaces", lambda: TABLE)
    monkeypatch.setattr(addresses, "is_physical", REAL.__contains__)
    assert addresses.private() == ["192.168.1.7", "172.31.0.7", "10.0.0.7", "fd12::7"]
    monkeypatch.setattr(addresses, "interfaces", lambda: [("lo", "::1"), ("guest0", "10.1.0.1")])
    assert addresses.private() == ["10.1.0.1"], "a guest without a card"


def test_phones_are_sent_where_they_reach_the_page(monkeypatch: Patch) -> None:
    monkeypatch.setattr(addresses, "interfaces", lambda: TABLE)
    monkeypatch.setattr(addresses, "is_physical", REAL.__contains__)
    monkeypatch.setattr(addresses, "_is_ours", lambda host: host.endswith(("7", ".0", ".1")))
    for settings, url in (
        (web("192.168.1.7:80"), "http://192.168.1.7:80"),
        (web("[fd12::7]:80", path="/base"), "http://[fd12::7]:80/base"),
        (web("0.0.0.0:80"), "http://192.168.1.7:80"),
        *(
            (web(listen, url="HTTPS://a.example:8443/", path="/b"), "https://a.example:8443/b")
            for listen in ("0.0.0.0:80", "192.168.1.7:80", "127.0.0.1:80", "unix:/run/a")
        ),
        (web("203.0.113.1:80", url="http://203.0.113.1:80"), "http://203.0.113.1:80"),
    ):
        assert addresses.url_for_phones(settings) == url
    with pytest.raises(UnavailableError, match=r"no longer has .*192\.168\.1\.9: .*\[fd12::7\]:80"):
        addresses.url_for_phones(web("192.168.1.9:80"))
    for listen in ("127.0.0.1:80", "unix:/run/a"):
        with pytest.raises(SettingsError, match="only this machine"):
            addresses.url_for_phones(web(listen))
    monkeypatch.setattr(addresses, "interfaces", lambda: [("eth0", "8.8.8.8"), *TABLE[1:3]])
    with pytest.raises(SettingsError, match=r"no network card here has a private .*set web\.url"):
        addresses.url_for_phones(web("0.0.0.0:80"))
    with pytest.raises(SettingsError, match="no page"):
        addresses.url_for_phones(WebSettings())


CONTAINER = [("lo", "127.0.0.1"), ("eth0", "172.17.0.2")]
"""The interfaces that a container sees, none of which is a card."""

VISITED = ("http://192.168.1.9:80", "https://nas.lan:8443", "https://203.0.113.1", "http://[fd12::9]:1",
           "http://nas.local:8787")  # fmt: skip
UNKNOWN = ("", "null", "http://[", "http://localhost:80", "https://LOCALHOST.", "https://127.0.0.1:80",
           "http://[::1]:80", "https://0.0.0.0", "http://203.0.113.1:80")  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (web("0.0.0.0:80"), "no network card"),
        (web("0.0.0.0:80", hosts=["a.example"]), "neither whether they use TLS nor the port"),
        (web("127.0.0.1:80", hosts=["a.example"]), "neither whether they use TLS nor the port"),
        (web("172.17.0.2:80", hosts=["a.example"]), "neither whether they use TLS nor the port"),
        (web("203.0.113.1:80"), "203.0.113.1 is public"),
    ],
)
def test_no_address_is_guessed_that_may_be_another_outside(
    settings: WebSettings, why: str, monkeypatch: Patch
) -> None:
    """Containers, proxies and public addresses: that of a visitor counts, or else `web.url`."""
    monkeypatch.setattr(addresses, "interfaces", lambda: CONTAINER)
    monkeypatch.setattr(addresses, "is_physical", lambda name: False)
    monkeypatch.setattr(addresses, "_is_ours", lambda host: True)
    for visited in VISITED:
        assert addresses.url_for_phones(settings, visited) == visited
    for visited in UNKNOWN:
        with pytest.raises(SettingsError, match=rf"{why}.*: set web\.url .*or open the page by it"):
            addresses.url_for_phones(settings, visited)


def test_what_lets_other_machines_reach_the_page_names_only_what_is_missing(
    monkeypatch: Patch,
) -> None:
    monkeypatch.setattr(addresses, "private", lambda: ["192.168.1.7"])
    for token, ending in ((Path("token"), "; or"), (None, ", and web.token_file; or")):
        for listen, port in (("127.0.0.1:80", 80), ("unix:/run/a", 8787)):
            with pytest.raises(SettingsError, match=rf"such as 192\.168\.1\.7:{port}{ending}"):
                addresses.url_for_phones(WebSettings(listen=listen, token_file=token))


def test_a_card_is_told_from_what_has_none_and_what_is_above_one(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    for name in ("eth0/device", "br-lan/lower_eth0", "docker0", "bond0/lower_br-lan"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(addresses, "_INTERFACES", tmp_path)
    names = ("eth0", "br-lan", "bond0", "docker0", "gone")
    assert [addresses.is_physical(name) for name in names] == [True, True, True, False, False]


def test_the_doctor_says_that_the_address_has_changed_and_what_helps(monkeypatch: Patch) -> None:
    monkeypatch.setattr(diagnose, "CHECKS", {"page": diagnose.check_page})
    monkeypatch.setattr(addresses, "interfaces", lambda: [("eth0", "192.168.1.7")])
    cases = (
        ("127.0.0.1:80", True, ""), ("0.0.0.0:80", True, "ok"), ("0.0.0.0:80", False, "note"),
        ("203.0.113.9:80", True, "problem"),
    )  # fmt: skip
    for listen, is_card, verdict in cases:  # the last address is for documents: no machine has it
        monkeypatch.setattr(addresses, "is_physical", lambda name, answer=is_card: answer)
        found = [*diagnose.look(make_settings((), Path("state"), web=web(listen)))]
        assert "".join(finding.verdict for finding in found) == verdict
    words = found[0].words
    assert "no longer has the address 203.0.113.9" in words and "`stylewatch phone`" in words
