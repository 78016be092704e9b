"""Addresses of this machine, and the one at which phones in the local network reach the page."""

import fcntl
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path

from stylewatch_daemon.base.errors import SettingsError, UnavailableError
from stylewatch_daemon.files import entries
from stylewatch_daemon.settings.sections import Address, WebSettings, parse_address

_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
"""Networks that no router of the internet serves: RFC 1918, and ULA of IPv6 (RFC 4193)."""

_INTERFACES = Path("/sys/class/net")
"""Folder of Linux with a folder for each interface."""

_GET_ADDRESS = 0x8915
"""Request for the IPv4 address of an interface: SIOCGIFADDR of Linux."""

_PASSING = 0x01 | 0x20 | 0x40
"""Flags of IPv6 addresses that are temporary, deprecated or not certain yet."""


def _names() -> Iterator[str]:
    """Yield the names of the interfaces, read from /proc: a service may not use AF_NETLINK."""
    with suppress(OSError):
        for line in Path("/proc/net/dev").read_text("ascii").splitlines()[2:]:
            yield line.partition(":")[0].strip()


def interfaces() -> Iterator[tuple[str, str]]:
    """Yield the name of an interface of this machine and its address, once for each address.

    On other systems than Linux nothing is yielded. IPv6 addresses that do not last are left out.
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
    """Return whether an interface is a network card, or a bridge or another one above a card.

    Those of containers, virtual machines and tunnels are not: no phone is there.
    """
    folder = _INTERFACES / name
    if entries.exists(folder / "device"):
        return True
    lower = [each.removeprefix("lower_") for each in entries.names(folder) if "lower_" in each]
    return any(map(is_physical, lower))


def private() -> list[str]:
    """Return the private addresses of this machine: those of its network cards.

    If there is no card, as in a container, all interfaces count.
    """
    found = [*interfaces()]
    physical = [(name, address) for name, address in found if is_physical(name)]
    return [
        address
        for _, address in physical or found
        if any(ip_address(address) in network for network in _PRIVATE)
    ]


def url_for_phones(web: WebSettings) -> str:
    """Return the address at which phones reach the page, without a final slash.

    Raises SettingsError if no other machine can reach it, and UnavailableError if this machine no
    longer has the address; the sentences say what helps.
    """
    if web.listen is None:
        raise SettingsError("web.listen is not set, so there is no page: docs/web.md, On a phone")
    address = parse_address(web.listen)
    if address.is_near:
        if not web.hosts:
            raise SettingsError(
                f"only this machine can reach the page at {address}: set web.listen to its "
                f"address in the local network, such as {_suggested(8787)}, and web.token_file"
            )
        return f"https://{web.hosts[0]}{web.path}"  # behind a proxy
    host = address.host
    if ip_address(host).is_unspecified:
        # a page that listens at 0.0.0.0 has no IPv6 address, and one at :: has both
        near = [each for each in private() if ":" in host or ":" not in each]
        known = [*web.hosts, *near]
        if not known:
            raise SettingsError(
                "web.hosts has no name of this machine: add the one by which phones reach it"
            )
        host = known[0]
    elif not _is_ours(host):
        raise UnavailableError(
            f"this machine no longer has the address {host}: set web.listen to "
            f"{_suggested(address.port)}; then `stylewatch phone` makes a code for the new address,"
            " which each phone needs once"
        )
    return f"http://{Address(host, address.port)}{web.path}"


def _suggested(port: int) -> str:
    return " or ".join(str(Address(host, port)) for host in private() or ["192.168.1.7"])


def _is_ours(host: str) -> bool:
    """Return whether a program can listen at an address, as at one of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as tried:
            tried.bind((host, 0))
    except OSError:
        return False
    return True
