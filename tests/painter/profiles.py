"""Small ICC profiles for tests: of RGB with wide primaries, of gray, and of CMYK."""

import struct

import numpy as np

_D50 = (0.9642, 1.0, 0.8249)

_PRIMARIES = {
    b"rXYZ": (0.60974, 0.31111, 0.01947),
    b"gXYZ": (0.20528, 0.62567, 0.06087),
    b"bXYZ": (0.14919, 0.06322, 0.74457),
}
"""XYZ of the primaries of Adobe RGB, adapted to D50, by tag."""

_GAMMA = 1.8


def rgb(curve: bytes | None = None) -> bytes:
    """Return a matrix profile with the primaries of Adobe RGB; its default `curve` is gamma 1.8."""
    tags = {name: _xyz(*value) for name, value in _PRIMARIES.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve or _curve(_GAMMA))
    return _profile(b"RGB ", b"XYZ ", tags)


def scanner(nodes: int = 17) -> bytes:
    """Return a profile with the colors of `rgb` in a table for one intent.

    The head of the profile names another intent.
    """
    axis = np.linspace(0, 1, nodes)
    values = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    xyz = values**_GAMMA @ np.array([*_PRIMARIES.values()]) / _D50
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    lab = np.stack([(116 * y - 16) * 652.8, (500 * (x - y) + 128) * 256,
                    (200 * (y - z) + 128) * 256], axis=-1)  # fmt: skip
    table = struct.pack(">4s4xBBBx", b"mft2", 3, 3, nodes)
    table += struct.pack(">9i2H", *(65536 * (i % 4 == 0) for i in range(9)), 2, 2)
    straight = struct.pack(">2H", 0, 65535) * 3
    table += straight + np.clip(np.rint(lab), 0, 65535).astype(">u2").tobytes() + straight
    made = bytearray(_profile(b"RGB ", b"Lab ", {b"A2B0": table}))
    made[12:16], made[64:68] = b"scnr", struct.pack(">I", 1)
    return bytes(made)


def gray(gamma: float) -> bytes:
    """Return a profile of gray with the given gamma."""
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def cmyk(darkest: int = 0) -> bytes:
    """Return a CMYK profile of unusual inks: colored inks give a neutral L* 50, and paper is white.

    Black gives `darkest`, 0..255 for an L* of 0..100.
    """
    lightness = (
        [255] + [darkest, 128] * 7 + [darkest]
    )  # 2 x 2 x 2 x 2 mixtures, black changing fastest
    nodes = [(level, 128, 128) for level in lightness]
    straight = bytes(range(256))
    table = struct.pack(">4s4xBBBx", b"mft1", 4, 3, 2)
    table += struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table += straight * 4 + b"".join(bytes(node) for node in nodes) + straight * 3
    return _profile(b"CMYK", b"Lab ", {b"A2B0": table, b"A2B1": table})


def _profile(space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _description(b"hand made"), b"wtpt": _xyz(*_D50)} | tags
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += padded
    head = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, b"mntr", space, pcs)
    head += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp")
    head = head.ljust(68, b"\0") + struct.pack(">3i", *(round(65536 * v) for v in _D50))
    return head.ljust(128, b"\0") + table + body


def _xyz(*value: float) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * v) for v in value))


def _curve(gamma: float) -> bytes:
    return struct.pack(">4s4xIH", b"curv", 1, round(256 * gamma))


def _description(text: bytes) -> bytes:
    return struct.pack(">4s4xI", b"desc", len(text) + 1) + text + bytes(1 + 8 + 3 + 67)
