"""Addresses of this machine, and the one at which phones in the local network reach the page."""

import fcntl
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from stylewatch_daemon.base.errors import SettingsError, UnavailableError
from stylewatch_daemon.files import entries
from stylewatch_daemon.settings.sections import Address, WebSettings, parse_address

_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
"""Networks that no router of the internet serves: RFC 1918, and ULA of IPv6 (RFC 4193)."""

IN_THE_CLEAR = (
    "Between phone and page nothing is encrypted: everybody in this network, and who runs it, can "
    "read the pictures, and take over the session of a phone."
)
"""Warning to show before a phone uses an address without TLS."""

_INTERFACES = Path("/sys/class/net")
"""Folder of Linux with a folder for each interface."""

_GET_ADDRESS = 0x8915
"""Request for the IPv4 address of an interface: SIOCGIFADDR of Linux."""

_PASSING = 0x01 | 0x20 | 0x40
"""Flags of IPv6 addresses that are temporary, deprecated, or tentative."""


def _names() -> Iterator[str]:
    """Yield the names of the network interfaces; nothing except on Linux.

    They are read from /proc, because the service may not use AF_NETLINK.
    """
    with suppress(OSError):
        for line in Path("/proc/net/dev").read_text("ascii").splitlines()[2:]:
            yield line.partition(":")[0].strip()


def interfaces() -> Iterator[tuple[str, str]]:
    """Yield pairs of an interface name and an address of it, as text; nothing except on Linux.

    Of each interface these are the primary IPv4 address, and all IPv6 addresses that are not
    temporary, deprecated or tentative.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for name in _names():
            with suppress(OSError):  # the interface has no address
                answer = fcntl.ioctl(asked, _GET_ADDRESS, struct.pack("256s", name.encode()[:15]))
                yield name, socket.inet_ntoa(answer[20:24])
    with suppress(OSError):  # there is no IPv6
        for line in Path("/proc/net/if_inet6").read_text("ascii").splitlines():
            digits, _, _, _, flags, name = line.split()
            if not int(flags, 16) & _PASSING:
                yield name, str(IPv6Address(bytes.fromhex(digits)))


def is_physical(name: str) -> bool:
    """Return whether an interface is a network card, or is built on one, such as a bridge.

    Interfaces of containers, virtual machines and tunnels are not: no phone is there.
    """
    folder = _INTERFACES / name
    if entries.exists(folder / "device"):
        return True
    lower = [each.removeprefix("lower_") for each in entries.names(folder) if "lower_" in each]
    return any(map(is_physical, lower))


def private() -> list[str]:
    """Return the private addresses of the network cards of this machine.

    If there is no card, as in a container, all interfaces count.
    """
    found = [*interfaces()]
    physical = [(name, address) for name, address in found if is_physical(name)]
    return [address for _, address in physical or found if _is_private(address)]


def url_for_phones(web: WebSettings, visited: str = "") -> str:
    """Return the URL at which phones reach the page, without a final slash.

    It is `web.url`, or else `visited`, the URL without a path by which somebody has opened the
    page, or else an address that follows from `web.listen`. The latter two count only if phones may
    be sent there.

    Raises SettingsError if there is no such URL, and UnavailableError if this machine no longer has
    the address at which the page listens; the sentences say what helps.
    """
    if web.listen is None:
        raise SettingsError("web.listen is not set, so there is no page: docs/web.md, On a phone")
    address = parse_address(web.listen)
    if not (address.is_near or _is_ours(address.host)):
        raise UnavailableError(
            f"this machine no longer has the address {address.host}: set web.listen to "
            f"{_suggested(address.port)}; then `stylewatch phone` makes a code for the new address,"
            " which each phone needs once"
        )
    if web.url is not None:
        return f"{web.url}{web.path}"
    urls = [visited]
    if not web.hosts:  # else a proxy may be in front, at another port, and with TLS
        urls += [f"http://{Address(host, address.port)}" for host in _hosts(address)]
    for url in urls:
        if _is_for_phones(url):
            return f"{url}{web.path}"
    raise _unknown(web, address)


def _unknown(web: WebSettings, address: Address) -> SettingsError:
    """Return the error for settings without an address for phones; its text says what helps."""
    if address.is_near and not web.hosts:
        token = "" if web.token_file else ", and web.token_file"
        return SettingsError(
            f"only this machine can reach the page at {address}: set web.listen to its address in "
            f"the local network, such as {_suggested(address.port or 8787)}{token}; or, if a proxy "
            "is in front of the page, set web.url to the proxy's address"
        )
    if web.hosts:
        why = "web.hosts says neither whether they use TLS nor the port"
    elif ip_address(address.host).is_unspecified:
        why = "no network card here has a private address, as in a container"
    else:
        why = f"{address.host} is public, where everybody could read what they send without TLS"
    return SettingsError(
        f"it is not certain at which address phones reach the page, as {why}: set web.url to that "
        "address, such as https://nas.lan:8443 or http://192.168.1.7:8787, or open the page by it "
        "and add the phone there"
    )


def _hosts(address: Address) -> list[str]:
    """Return the IP addresses at which other machines may reach a page that listens at `address`.

    If the page listens at all addresses, these are the addresses of network cards: other addresses,
    such as those of containers, are unknown outside of this machine.
    """
    if address.is_near or not ip_address(address.host).is_unspecified:
        return [address.host]
    found = [each for name, each in interfaces() if is_physical(name)]
    # a page that listens at 0.0.0.0 has no IPv6 address, and one at :: has both
    return [each for each in found if ":" in address.host or ":" not in each]


def _is_for_phones(url: str) -> bool:
    """Return whether phones may be sent to `url`: not to loopback, and in public only by TLS.

    A host name, unless it is localhost, is assumed to be known to phones.
    """
    try:
        parts = urlsplit(url)
        name = (parts.hostname or "localhost").removesuffix(".")
    except ValueError:
        return False
    try:
        ip = ip_address(name)
    except ValueError:
        return name != "localhost"
    is_here = ip.is_loopback or ip.is_unspecified
    return _is_private(name) or (parts.scheme == "https" and not is_here)


def _is_private(address: str) -> bool:
    return any(ip_address(address) in network for network in _PRIVATE)


def _suggested(port: int) -> str:
    return " or ".join(str(Address(host, port)) for host in private() or ["192.168.1.7"])


def _is_ours(host: str) -> bool:
    """Return whether this machine has the IP address `host`: whether a program can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as tried:
            tried.bind((host, 0))
    except OSError:
        return False
    return True
