"""Memory planning for a painting: estimates of its peak, and the choice of tiles and history."""

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch

from stylewatch_painter.errors import PictureError
from stylewatch_painter.losses.loss import Extent, LossSettings, largest_bytes, maps_bytes
from stylewatch_painter.network.network_bytes import NetworkBytes
from stylewatch_painter.network.vgg19 import PlannedMaps
from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.process_memory import available, resident
from stylewatch_painter.recipes.recipe import Terms
from stylewatch_painter.scene.padding import border, padded_pixels
from stylewatch_painter.scene.scales import Level
from stylewatch_painter.scene.task import Task, region_count
from stylewatch_painter.scene.tiles import halo
from stylewatch_painter.vgg import LayerName, layers_up_to, values_per_pixel

_FLOAT = 4  # bytes of a float32
_VECTOR = 3 * _FLOAT  # bytes per pixel of a float32 vector of the picture's size
_SHOWN = 4  # vectors needed to convert a picture for a stage
_TEMPORAL = 6  # vectors of the temporal loss: previous frame, trust, differences
_PAINTING = 1  # vector of a frame before its corrections, from which the next one starts
_AVERAGE = 2  # vectors of the moving average of the pictures
FILTERED = 3
"""Number of vectors that filtering a move takes, for coefficients and result. Moves are filtered at
sizes that keep low frequencies (`Level.slowest`)."""
_IN_TILES = 6  # vectors for the gradient, its sum, differences for smoothness
_SUMS = 3  # sets of sums: over all tiles, over one tile, and the gradient with respect to sums

SIDES = (2048, 1536, 1024, 768, 512, 384, 256)
"""Sides of tiles to try, in pixels, largest first: the larger the tile, the smaller the overhead of
halos."""

_LIBRARIES = 60 * 10**6  # bytes that libraries allocate in addition to tensors
_SHARE = 0.9  # share of the free memory; the rest is for other processes


@dataclass(frozen=True)
class MemorySettings:
    """Settings of the memory of a painting.

    `tile` is the side of the tiles in pixels, or `none` for a single piece. `history` is in pairs
    of vectors, or `whole` for the recipe's. With `auto`, values are chosen that fit into memory.
    `limit` is the maximum in bytes for the process, or for a GPU's memory; None stands for most of
    the free memory.
    """

    tile: Literal["auto", "none"] | int = "auto"
    history: Literal["auto", "whole"] | int = "auto"
    limit: int | None = None


def choose(
    task: Task, device: torch.device, settings: MemorySettings, load: Callable[[], PlannedMaps]
) -> MemoryPlan:
    """Return the best memory plan for `task` that fits on `device`.

    If neither tile nor history is `auto`, the settings are returned as a plan without a check.
    `load` returns the network, whose memory is taken into account. Without a limit it is not called
    if there is only one plan, or if the first plan fits with any network. If no plan fits, return
    the plan that takes the least memory, or raise PictureError if there is a limit.
    """
    plans = list(_plans(task, settings))
    if "auto" not in (settings.tile, settings.history):
        return plans[0]
    if settings.limit is None and (len(plans) == 1 or at_most(task) <= _free(settings, device)):
        return plans[0]
    network = load()
    free = _free(settings, device)
    for plan in plans:
        if needed(task, network, plan) <= free:
            return plan
    smallest = plans[-1]
    if settings.limit is None:
        return smallest
    least = needed(task, network, smallest)
    raise PictureError(_refusal(task, least, free, settings.limit, device))


def _refusal(task: Task, least: float, free: float, limit: int, device: torch.device) -> str:
    """Return the error message for a painting whose minimum of `least` bytes is too much.

    The message names the limit, or the free memory of the GPU if it is less.
    """
    width, height = task.final
    held = _held(device)
    if free < limit - held:
        reason = f"{(held + free) / 1e9:.3g} GB of the GPU are free for it"
        remedy = "end other programs that use the GPU"
    else:
        reason, remedy = f"limits.memory allows {limit / 1e9:.3g} GB", "raise it"
    undivided = (
        f" (recipe {task.recipe.name} cannot be divided into tiles)"
        if task.final_terms.needs_whole_picture
        else ""
    )
    return (
        f"{width}x{height} pixels take about {(held + least) / 1e9:.3g} GB at the least, and "
        f"{reason}{undivided}: {remedy}, or ask for a smaller size"
    )


def warnings(task: Task, chosen: MemoryPlan) -> Iterator[str]:
    """Yield a sentence if the `chosen` plan changes the recipe's optimizer at the final size."""
    settings = task.recipe.schedule.optimizer
    used = chosen.optimizer(settings)
    if used is not settings:
        width, height = task.final
        difference = settings.compared_with(used)
        yield f"to save memory, at {width}x{height} pixels {difference}"


def _plans(task: Task, memory: MemorySettings) -> Iterator[MemoryPlan]:
    """Yield the plans that `memory` allows, best first.

    The order is: in one piece, in tiles from large to small, then in tiles with shorter histories.
    For a recipe that cannot be divided into tiles only the length of the history varies.
    """
    optimizer = task.recipe.schedule.optimizer
    tile = memory.tile
    if task.final_terms.needs_whole_picture:
        tile = "none"
    histories: list[int | None] = [memory.history if isinstance(memory.history, int) else None]
    if memory.history == "auto":
        histories += optimizer.shorter_histories
    sides: tuple[int | None, ...] = SIDES
    if tile != "auto":
        sides = (None if tile == "none" else tile,)
    if tile == "auto":
        yield MemoryPlan(None, histories[0])
    for pairs, side in product(histories, sides):
        yield MemoryPlan(side, pairs)


def _free(settings: MemorySettings, device: torch.device) -> float:
    """Return the bytes that a painting may allocate in addition to what is allocated now."""
    limit = settings.limit
    if device.type == "cuda":
        held = _held(device)
        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - held
        return _SHARE * free if limit is None else min(free, limit - held)
    if limit is not None:
        return limit - _held(device)
    return _SHARE * available() - _LIBRARIES


def _held(device: torch.device) -> int:
    """Return the allocated bytes that count towards a limit before the painting starts."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return resident() + _LIBRARIES


class _AnyNetwork:
    """Stand-in for a network, with at least as much memory as every real network."""

    rereads_maps: bool = True

    def bytes_per_pixel(self, layers: Collection[LayerName]) -> NetworkBytes:
        """Return an upper bound of the memory that an evaluation takes for each pixel."""
        values = [values_per_pixel(layer) for layer in layers_up_to(layers)]
        largest = max(values) * _FLOAT
        return NetworkBytes(_FLOAT, passing=3 * largest, held=3 * sum(values), back=5 * largest)


def at_most(task: Task) -> int:
    """Return an upper bound, for any network, of the peak memory in bytes in one piece."""
    return needed(task, _AnyNetwork(), UNLIMITED)


def needed(task: Task, network: PlannedMaps, plan: MemoryPlan) -> int:
    """Return the peak memory of a painting in bytes, without input pictures and network.

    The peak is the sum of the bytes that losses, network and optimizer declare, at the size where
    this sum is largest.
    """
    return round(max(_peak(task, network, plan, level) for level in task.levels()))


def _peak(task: Task, network: PlannedMaps, plan: MemoryPlan, level: Level) -> float:
    """Return the peak memory in bytes at one size, without input pictures and network."""
    terms = task.terms(level)
    pixels = level.size.area
    vectors = pixels * _VECTOR * _vectors(task, plan, level)
    whole = declared(task, network, level)
    inner = None if terms.needs_whole_picture else plan.tile_at(level.size)
    if inner is None:
        return max(whole.targets, whole.kept + whole.step) + vectors
    side = inner + 2 * (halo(terms.layers) + border(task.recipe.objective.network))
    tile_pixels = min(side, level.size.width) * min(side, level.size.height)
    tile = declared(task, network, level, tile_pixels)
    sums = _SUMS * terms.sums_bytes * _regions(task)
    in_tiles = pixels * _VECTOR * _IN_TILES + sums
    return max(tile.targets, tile.step) + whole.kept + in_tiles + vectors


def _vectors(task: Task, plan: MemoryPlan, level: Level) -> int:
    """Return the number of float32 vectors of the picture's size during a step at one size.

    The optimizer and the conversion of the picture for a stage need vectors, and, where they exist,
    the moving average, the filter of moves and the temporal loss.
    """
    larger = task.final.area / level.size.area
    optimizer = plan.optimizer(task.recipe.schedule.optimizer, larger)
    vectors = optimizer.vectors(level.steps) + _SHOWN
    if task.recipe.schedule.ema_decay:
        vectors += _AVERAGE
    if level.slowest:
        vectors += FILTERED
    if task.is_frame or task.prior is not None:
        vectors += _TEMPORAL + _PAINTING
    return vectors


@dataclass(frozen=True)
class Declared:
    """Memory in bytes that evaluations take at one size.

    `kept` are the bytes of the targets. `targets` is the peak while targets are computed, which
    includes finished targets. `step` is the peak of a step in addition to `kept`.
    """

    kept: float
    targets: float
    step: float


@dataclass(frozen=True)
class _StepBytes:
    """Memory of a step in bytes by part, in addition to the targets."""

    saved_by_losses: float
    """Tensors that losses keep from the forward pass to the end of the backward pass."""
    held_by_network: float
    """Tensors that the network keeps for the same time, without its maps."""
    maps: float
    """Maps that the forward pass computes for the losses."""
    network_forward: float
    """Temporary tensors of the network in the forward pass."""
    cut_map: float
    """Copy of the largest map without its halo and border, because maps are cropped one at a
    time."""
    maps_of_network: float
    """Maps that the network reads in the backward pass."""
    maps_of_losses: float
    """Maps that losses read in the backward pass, if they are not the maps of the network."""
    gradients: float
    """Temporary tensors of losses in the backward pass, with the gradients of maps."""
    network_backward: float
    """Temporary tensors of the network in the backward pass."""

    @property
    def peak(self) -> float:
        """The largest sum of the parts that exist at once."""
        both_passes = self.saved_by_losses + self.held_by_network
        forward = self.maps + self.network_forward + self.cut_map
        maps_read = self.maps_of_network + self.maps_of_losses
        backward = maps_read + self.gradients + self.network_backward
        return both_passes + max(forward, backward)


def declared(task: Task, network: PlannedMaps, level: Level, tile: float | None = None) -> Declared:
    """Return the bytes that network and losses declare at `level`.

    They are for a tile of `tile` pixels, or for the picture in one piece if `tile` is None.
    """
    terms = task.terms(level)
    network_bytes = network.bytes_per_pixel(terms.layers)
    whole = _extent(task, network, level, None)
    evaluated = _extent(task, network, level, tile)
    kept, targets = _target_bytes(terms, network_bytes, evaluated, whole)
    losses = [loss.memory(evaluated) for loss in terms]
    pixels = evaluated.pixels
    maps = maps_bytes(terms.layers, pixels, network_bytes.value)
    largest_map = largest_bytes(terms.layers, pixels, network_bytes.value)
    has_border = task.recipe.objective.network.padding != "zeros"
    is_cut = has_border or tile is not None
    # maps without their border are copies of the maps that the network reads
    share_maps = network.rereads_maps and not has_border
    step = _StepBytes(
        saved_by_losses=sum(loss.saved for loss in losses),
        held_by_network=pixels * network_bytes.held,
        maps=maps,
        network_forward=pixels * network_bytes.passing,
        cut_map=largest_map if is_cut else 0.0,
        maps_of_network=maps if network.rereads_maps else 0.0,
        maps_of_losses=0.0 if share_maps else sum(loss.features for loss in losses),
        gradients=sum(loss.gradients for loss in losses),
        network_backward=pixels * network_bytes.back,
    )
    return Declared(kept, targets, step.peak)


def _target_bytes(
    terms: Terms, network_bytes: NetworkBytes, evaluated: Extent, whole: Extent
) -> tuple[float, float]:
    """Return the bytes of all targets, and the peak while losses compute them one after another.

    A loss computes its targets tile by tile, for the extent `evaluated`, or from the pictures as a
    `whole` (see `Loss.targets_in_tiles`). The peak includes the features of the content, which all
    losses share, and the features of one other picture.
    """
    kept = 0.0
    peak = 0.0
    content_features = 0.0
    if "content" in terms.compared:
        content_features = maps_bytes(terms.layers, evaluated.pixels, network_bytes.value)
    for loss in terms:
        pictures = evaluated if loss.formula.targets_in_tiles else whole
        if "content" in loss.compared:
            shared = maps_bytes(terms.layers, pictures.pixels, network_bytes.value)
            content_features = max(content_features, shared)
        loss_bytes = loss.memory(pictures)
        features = _features_bytes(loss, network_bytes, pictures)
        of_this_loss = loss_bytes.kept + loss_bytes.targets + features
        peak = max(peak, content_features + kept + of_this_loss)
        kept += loss_bytes.kept
    return kept, peak


def _features_bytes(loss: LossSettings, network_bytes: NetworkBytes, pictures: Extent) -> float:
    """Return the bytes needed to compute the features of a loss's largest picture."""
    compared = [pictures.pixels]
    if "style" in loss.compared:
        compared += pictures.styles
    largest = max(compared)
    maps = maps_bytes(loss.layer_names, largest, network_bytes.value)
    return maps + largest * network_bytes.passing


def _extent(task: Task, network: PlannedMaps, level: Level, tile: float | None) -> Extent:
    """Return the extent of the pictures at `level`, in one piece or in a tile of `tile` pixels."""
    settings = task.recipe.objective.network
    terms = task.terms(level)
    sizes = (task.style_size(style, level.scale) for style in task.at(level).styles)
    most = math.inf if tile is None else tile
    return Extent(
        pixels=min(padded_pixels(level.size, settings), most),
        styles=tuple(min(padded_pixels(size, settings), most) for size in sizes),
        regions=_regions(task),
        has_mask=task.content_mask is not None or _may_be_divided(task),
        value=network.bytes_per_pixel(terms.layers).value,
        in_place=not network.rereads_maps and not any(loss.formula.rereads_maps for loss in terms),
    )


def _regions(task: Task) -> int:
    """Return the number of regions of a task, doubled if later frames may have twice as many."""
    return region_count(task.content_mask) * (2 if _may_be_divided(task) else 1)


def _may_be_divided(task: Task) -> bool:
    """Return whether later frames may have twice the regions, for new and old areas."""
    return task.is_frame and task.prior is None
