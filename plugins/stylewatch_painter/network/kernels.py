"""VGG's convolutions and Gram products on a CPU, by the compiled library of `kernels.cpp`.

Winograd's minimal filtering (Lavin and Gray 2015, arXiv 1509.09308) needs 4 (tile 4) or 5.06 (tile
6) times fewer multiplications than a direct convolution with 3x3 filters. Bias, ReLU and the
following pool are fused into each convolution.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stylewatch_painter.installation import compile_command, has_compiler
from stylewatch_painter.late import torch
from stylewatch_painter.vgg import pooled_side

if TYPE_CHECKING:
    from torch import Tensor

DIRECT = 2
"""Tile size that denotes a direct convolution."""

PICTURE = 3
"""Number of channels of a picture, the inputs of the first layer."""

_LONGER = {
    "avx512bf16": "about 1.2 times as long",
    "avx512": "about 1.6 times as long",
    "avx2": "about twice as long",
    "generic": "longer",
}
"""Duration of a painting without the library, compared with the duration with the library, by
instruction set, from docs/performance.md. ARM was not measured."""

SOURCE = Path(__file__).with_name("kernels.cpp")
_CRC_MASK = 0xFFFFFFFF

_ELF = b"\x7fELF\x02\x01"
"""First bytes of a 64-bit, little-endian library of Linux."""

_ELF_PLACES = struct.Struct("<32xQQ")
_ELF_SIZES = struct.Struct("<54xHHHH")
_ELF_PART = struct.Struct("<8xQ16xQ")
"""Fields of the header of such a library. `_ELF_PLACES`: offsets of the tables of segments and of
sections. `_ELF_SIZES`: size and number of the entries, for both tables. `_ELF_PART`: offset and
size in the file of a segment, in its entry."""

_SMALL_BLOCK = 28
_LARGE_BLOCK = 112
_LARGE = {DIRECT: 1 << 30, 4: 256 * 512, 6: 256 * 256}
"""Minimum product of inputs and outputs for which larger blocks of tiles are faster, by tile size,
as measured."""

_LARGE_TILE_AREA = 2048
"""Number of positions of a map above which F(6x6, 3x3) is faster than F(4x4, 3x3), as measured."""

_LARGE_TILE_CHANNELS = 256
"""Maximum number of channels for F(6x6, 3x3). With more channels it is hardly faster, and its
filters take 7 times the memory of the weights."""

_GRADIENT_VALUES = 32
"""Columns of the product for the picture's gradient: 9 * 3, padded with zeros to whole vectors."""


def _structure(name: str, *groups: tuple[type, str]) -> type[ctypes.Structure]:
    """Define a struct of kernels.cpp from types and names of fields."""
    fields = [(field, kind) for kind, names in groups for field in names.split()]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


_Convolution = _structure(
    "_Convolution",
    (ctypes.c_int32, "height width inputs outputs"),
    (ctypes.c_void_p, "input unpool filters bias add relu_mask output active pooled routes"),
    (ctypes.c_int32, "relu average_pool ceil_pool tile bfloat16 block threads"),
)
_Packing = _structure(
    "_Packing",
    (ctypes.c_int32, "inputs outputs"),
    (ctypes.c_void_p, "weights packed"),
    (ctypes.c_int32, "backward tile bfloat16 threads"),
)
_Product = _structure(
    "_Product",
    (ctypes.c_int64, "positions"),
    (ctypes.c_int32, "channels threads"),
    (ctypes.c_void_p, "maps matrix"),
)


@dataclass(frozen=True)
class Pooling:
    """A 2x2 pool with stride 2.

    It takes the average if `average` is True, or else the maximum. With `ceil` it keeps partial
    squares at odd edges.
    """

    average: bool
    ceil: bool

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) after the pool.

        Raises ValueError if the maps are too small for a pool.
        """
        rows = pooled_side(height, ceil=self.ceil)
        columns = pooled_side(width, ceil=self.ceil)
        if not rows or not columns:
            raise ValueError(f"maps of {width}x{height} positions are too small for a pool")
        return rows, columns


@dataclass(frozen=True, eq=False)
class Filters:
    """Weights of a convolution, packed for the library and one tile size.

    `packed` is uint8, in the library's own layout. With `bfloat16` factors are rounded to bfloat16;
    their sums are float32.
    """

    packed: Tensor
    tile: int
    inputs: int
    outputs: int
    bfloat16: bool = False

    @property
    def block(self) -> int:
        """Number of tiles in a block: few for small filters, to keep transforms in the cache."""
        is_large = self.inputs * self.outputs >= _LARGE[self.tile]
        return _LARGE_BLOCK if is_large else _SMALL_BLOCK


def fastest_tile(inputs: int, outputs: int, size: tuple[int, int], *, bfloat16: bool) -> int:
    """Return the side of the tiles that convolve maps of `size` (height, width) fastest.

    DIRECT is a direct convolution, 4 is F(4x4, 3x3) and 6 is F(6x6, 3x3). In bfloat16 the larger
    tile is not faster, and it is less exact.
    """
    if PICTURE in (inputs, outputs):
        return DIRECT
    is_large = size[0] * size[1] > _LARGE_TILE_AREA
    return 6 if is_large and max(inputs, outputs) <= _LARGE_TILE_CHANNELS and not bfloat16 else 4


def can_convolve(weight: Tensor) -> bool:
    """Return whether a library is loaded that supports filters (outputs, inputs, 3, 3)."""
    outputs, inputs = weight.shape[:2]
    return library() is not None and not outputs % 64 and (inputs == PICTURE or not inputs % 64)


def _files() -> dict[str, Path]:
    """Return the paths of the libraries for this CPU by instruction set, best first.

    A CPU of x86-64 without AVX2 has none. A file may be missing.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    by_capability = {"AVX512": ["avx512", "avx2"], "AVX2": ["avx2"]}
    names = by_capability.get(capability, [] if platform.machine() == "x86_64" else ["generic"])
    if capability == "AVX512" and torch.cpu._is_avx512_bf16_supported():
        names.insert(0, "avx512bf16")
    return {name: SOURCE.with_name(f"_kernels_{name}.so") for name in names}


def _is_cut(path: Path) -> bool:
    """Return whether a library is shorter than its header says.

    Linux would load a truncated library, and end the process at the first use of a page beyond its
    end (SIGBUS). A digest would not do, because packagers strip libraries and change their paths.
    The libraries of a Mac have another header, and macOS checks their length itself. Raises OSError
    if the library cannot be read.
    """
    data = path.read_bytes()
    if not data.startswith(_ELF):
        return False
    try:
        parts, sections = _ELF_PLACES.unpack_from(data)
        part_size, part_count, section_size, section_count = _ELF_SIZES.unpack_from(data)
        starts = (parts + number * part_size for number in range(part_count))
        ends: list[int] = [sum(_ELF_PART.unpack_from(data, start)) for start in starts]
    except struct.error:  # the tables themselves are cut
        return True
    end: int = sections + section_count * section_size
    return max([*ends, end]) > len(data)


@cache
def variants() -> dict[str, ctypes.CDLL]:
    """Return the compiled libraries that this CPU can run by instruction set, best first.

    Missing libraries, truncated libraries, and those of another version of the source, which an
    earlier installation left, are left out.
    """
    loaded = {}
    for name, path in _files().items():
        with suppress(OSError, AttributeError):  # missing, for another system, or too old
            if _is_cut(path):
                continue
            library = ctypes.CDLL(str(path))
            if library.stylewatch_source() & _CRC_MASK == zlib.crc32(SOURCE.read_bytes()):
                loaded[name] = library
    return loaded


def variant() -> str:
    """Return the instruction set of the library in use, or `none`."""
    return next(iter(variants()), "none")


def library() -> ctypes.CDLL | None:
    """Return the compiled library for this CPU, or None if there is none."""
    return variants().get(variant())


def problem() -> str | None:
    """Return why the fastest compiled convolutions for this CPU are not in use; None if they are.

    The result is a clause for a message about the CPU. If libraries exist for the CPU, it says
    whether all convolutions or only the fastest are missing, and how to compile them.
    """
    best = next(iter(_files().items()), None)
    if best is None:
        return "compiled convolutions are for processors with AVX2"
    name, path = best
    if variant() == name:
        return None
    what = "its convolutions" if library() is None else "its fastest convolutions"
    state = "not compiled"
    with suppress(OSError):  # it is missing
        if _is_cut(path):
            state = f"cut off in {path}"
    or_why = " or shows why not" if has_compiler() else ""
    return f"{what} are {state}: {compile_command()} compiles them{or_why}"


def delay() -> str | None:
    """Return how much longer painting on this CPU takes, for lack of a library, and the remedy.

    None if the fastest library is loaded, or if there is no library for this CPU.
    """
    why = problem()
    if why is None or not _files():
        return None
    longer = _LONGER[next(iter(_files()))] if library() is None else "longer"
    return f"painting on the CPU takes {longer}: {why}"


def has_bfloat16() -> bool:
    """Return whether a library is loaded that can multiply in bfloat16."""
    loaded = library()
    return loaded is not None and bool(loaded.stylewatch_has_bfloat16())


class _Memory(threading.local):
    """Working memory of a thread for the library, kept between calls."""

    def __init__(self) -> None:
        self.block = torch.empty(64, dtype=torch.uint8)


_memory = _Memory()


def _call(name: str, arguments: ctypes.Structure) -> None:
    """Call a function of the library: first for the size of its working memory, then to run."""
    function = getattr(library(), name)
    function.restype = ctypes.c_size_t
    nbytes = int(function(ctypes.byref(arguments), None))
    if nbytes > _memory.block.nbytes:
        _memory.block = torch.empty(nbytes, dtype=torch.uint8)
    function(ctypes.byref(arguments), ctypes.c_void_p(_memory.block.data_ptr()))


def pack(
    weight: Tensor,
    tile: int,
    *,
    backward: bool = False,
    bfloat16: bool = False,
    memory: Tensor | None = None,
) -> Filters:
    """Return the filters `weight` (outputs, inputs, 3, 3), float32, packed for the library.

    With `backward` they are rotated by 180 degrees, with inputs and outputs exchanged, to propagate
    a gradient back. The first layer, whose input is the picture, is always packed in float32.
    `memory`, the tensor of filters that are no longer needed, is reused if it is large enough.
    """
    weight = weight.contiguous()
    first, second = weight.shape[:2]
    outputs, inputs = (second, first) if backward else (first, second)
    bfloat16 = bfloat16 and PICTURE not in (inputs, outputs)
    values = 9 * inputs if tile == DIRECT else (tile + 2) ** 2 * inputs
    size = _GRADIENT_VALUES * inputs if outputs == PICTURE else outputs * values
    nbytes = size * (2 if bfloat16 else 4)
    packed = memory
    if packed is None or packed.nbytes < nbytes:
        packed = torch.empty(nbytes, dtype=torch.uint8)
    arguments = _Packing(
        *(inputs, outputs, weight.data_ptr(), packed.data_ptr()),
        *(backward, tile, bfloat16, torch.get_num_threads()),
    )
    _call("stylewatch_pack", arguments)
    return Filters(packed, tile, inputs, outputs, bfloat16)


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution:
    """A convolution of x (height, width, inputs), float32, and the operations fused into it.

    `output` and `add` are float32 (height, width, outputs). `active` and `relu_mask` are uint8
    (height, width, outputs / 8), with a bit for each value: `active` is set where a result is above
    0 or NaN, and results become 0 where `relu_mask` is not set. `pooled`, float32, and `routes`,
    uint8, have the size that `pooling` gives; the lowest four bits of a route are the positions in
    its 2x2 square that get the gradient. With `unpool`, the routes of a pool, x is a gradient after
    the pool, and the maps before the pool have `size` (height, width). All tensors are contiguous
    and on the CPU.
    """

    x: Tensor
    filters: Filters
    size: tuple[int, int] | None = None
    unpool: Tensor | None = None
    bias: Tensor | None = None
    add: Tensor | None = None
    relu_mask: Tensor | None = None
    output: Tensor | None = None
    active: Tensor | None = None
    pooled: Tensor | None = None
    routes: Tensor | None = None
    pooling: Pooling | None = None
    relu: bool = False

    def run(self) -> None:
        """Run the convolution; write `output`, `active`, `pooled` and `routes` if they are set."""
        height, width = self.size or self.x.shape[:2]
        tensors = (self.x, self.unpool, self.filters.packed, self.bias, self.add, self.relu_mask,
                   self.output, self.active, self.pooled, self.routes)  # fmt: skip
        for tensor in tensors:
            assert tensor is None or (tensor.is_contiguous() and tensor.device.type == "cpu")
        for maps in (self.x, self.bias, self.add, self.output, self.pooled):
            assert maps is None or maps.dtype == torch.float32
        pooling = self.pooling
        arguments = _Convolution(
            *(height, width, self.filters.inputs, self.filters.outputs),
            *(None if tensor is None else tensor.data_ptr() for tensor in tensors),
            *(self.relu, bool(pooling and pooling.average), bool(pooling and pooling.ceil)),
            *(self.filters.tile, self.filters.bfloat16, self.filters.block),
            torch.get_num_threads(),
        )
        _call("stylewatch_convolve", arguments)


def mask(gradient: Tensor, active: Tensor) -> None:
    """Zero a gradient (height, width, N), float32, in place where its ReLU was inactive.

    `active` is the bit mask that `Convolution.run` writes, uint8 (height, width, N / 8). Both
    tensors must be contiguous and on the CPU.
    """
    _unpool(gradient, active)


def add_unpooled(
    gradient: Tensor, active: Tensor, pooled: Tensor, routes: Tensor, pooling: Pooling
) -> None:
    """Zero a gradient in place where its ReLU was inactive, and add the gradient behind the pool.

    `gradient` and `active` are those of `mask`. `pooled`, float32, is the gradient after the pool
    that follows the ReLU. `routes`, uint8, are those that `Convolution.run` writes. Both are (rows,
    columns, N). All tensors must be contiguous and on the CPU.
    """
    _unpool(gradient, active, pooled, routes, pooling)


def _unpool(
    gradient: Tensor,
    active: Tensor,
    pooled: Tensor | None = None,
    routes: Tensor | None = None,
    pooling: Pooling | None = None,
) -> None:
    height, width, channels = gradient.shape
    for tensor in (gradient, pooled, active, routes):
        assert tensor is None or (tensor.is_contiguous() and tensor.device.type == "cpu")
    arguments = _Convolution(
        *(height, width, channels, channels),
        input=None if pooled is None else pooled.data_ptr(),
        unpool=None if routes is None else routes.data_ptr(),
        relu_mask=active.data_ptr(),
        output=gradient.data_ptr(),
        average_pool=bool(pooling and pooling.average),
        ceil_pool=bool(pooling and pooling.ceil),
        threads=torch.get_num_threads(),
    )
    _call("stylewatch_unpool", arguments)


def can_multiply(maps: Tensor) -> bool:
    """Return whether a compiled library is loaded that can compute products of F (N, M).

    F must be float32 on a CPU, channels last. N must be a multiple of 64, and M at least 1, because
    a narrow tile may have no positions.
    """
    return (
        maps.device.type == "cpu"
        and maps.dtype == torch.float32
        and maps.mT.is_contiguous()
        and maps.shape[0] % 64 == 0
        and maps.shape[1] > 0
        and library() is not None
    )


def gram_products(maps: Tensor) -> Tensor:
    """Return F F^T (N, N), float32, of F (N, M) for which `can_multiply` is True."""
    products = torch.empty(len(maps), len(maps))
    _multiply("stylewatch_gram", maps, products)
    return products


def multiply_in_place(matrix: Tensor, maps: Tensor) -> None:
    """Replace F (N, M) by S F in place, for a symmetric S (N, N), float32.

    `can_multiply(F)` must be True.
    """
    _multiply("stylewatch_multiply", maps, matrix.contiguous())
    torch.autograd.graph.increment_version(maps)


def _multiply(function: str, maps: Tensor, matrix: Tensor) -> None:
    channels, positions = maps.shape
    arguments = _Product(
        *(positions, channels, torch.get_num_threads(), maps.data_ptr(), matrix.data_ptr())
    )
    _call(function, arguments)
