"""The recipe model: an objective (the loss) and a schedule (sizes, start, optimizer, steps).

The settings of each loss and optimizer are in the module of its formula. `book` finds and reads
recipes; docs/recipe-reference.md gives the source of each number.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
    model_validator,
)

from stylewatch_painter import installed, losses, optimizers
from stylewatch_painter.fields import (
    ANY_SIDE,
    MOST_STEPS,
    Positive,
    Real,
    Share,
    ShareOrTrue,
    SideLength,
    SizeRule,
    SomeSteps,
    Steps,
    Strict,
    Stroke,
    StyleSize,
    Weight,
    Whole,
)
from stylewatch_painter.losses.loss import AdditiveLoss, LossSettings, Side
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.optimizers.optimizer import OptimizerSettings
from stylewatch_painter.vgg import ARCHITECTURES, LayerName, pools_before

_LOSSES = losses.kinds()
_OF_PACKAGES = _LOSSES.keys() - losses.own().keys()


class _LossFields(Strict):
    """Base class of models with a field for each installed loss."""

    @model_serializer(mode="wrap")
    def _without_unset(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out unset losses of packages, because another installation may lack the package."""
        plain = dump(self)
        unset = {name for name in _OF_PACKAGES if plain.get(name) is None}
        return {name: value for name, value in plain.items() if name not in unset}


if TYPE_CHECKING:

    class _Losses(_LossFields):
        """The fields of an objective that hold the settings of losses, by the losses' names."""

    AnyOptimizer = OptimizerSettings
else:
    _Losses = create_model(
        "_Losses",
        __base__=_LossFields,
        **{name: (settings | None, None) for name, settings in _LOSSES.items()},
    )
    AnyOptimizer = Annotated[reduce(or_, optimizers.kinds().values()), Field(discriminator="kind")]


@dataclass(frozen=True)
class Terms:
    """The losses of one scale: their settings by name, in the order in which they are summed."""

    losses: Mapping[str, LossSettings]

    @classmethod
    def of(cls, fields: _Losses) -> Self:
        """Return the losses that are set in `fields`."""
        found = ((name, getattr(fields, name)) for name in _LOSSES)
        return cls({name: loss for name, loss in found if loss is not None})

    def __iter__(self) -> Iterator[LossSettings]:
        return iter(self.losses.values())

    def where(self, keep: Callable[[LossSettings], bool]) -> "Terms":
        """Return the terms with only those losses for which `keep` returns True."""
        return Terms({name: loss for name, loss in self.losses.items() if keep(loss)})

    @property
    def layers(self) -> frozenset[LayerName]:
        """The layers that the losses of this scale read."""
        return frozenset(layer for loss in self for layer in loss.layer_names)

    @property
    def compared(self) -> frozenset[Side]:
        """The pictures that the losses compare the output with."""
        return frozenset(side for loss in self if loss.is_used for side in loss.compared)

    @property
    def needs_whole_picture(self) -> bool:
        """True if a loss reads features and is not additive, which excludes tiles."""
        return any(loss.layer_names and not issubclass(loss.formula, AdditiveLoss) for loss in self)

    @property
    def needs_start(self) -> bool:
        """True if the targets of a loss depend on the initial picture of a size."""
        return any(loss.is_used and loss.formula.needs_start for loss in self)

    @property
    def sums_bytes(self) -> int:
        """Bytes of the sums over positions, such as Gram matrices, of all losses for one region."""
        return sum(loss.sums_bytes for loss in self)

    def weighed(self, content: float, style: float) -> "Terms":
        """Return the terms with each weight multiplied by the factor for its side."""
        return Terms({name: loss.weighed(content, style) for name, loss in self.losses.items()})


class CoarseLosses(_Losses):
    """The losses of the scales before the final size that are no larger than `largest`."""

    largest: SideLength = ANY_SIDE
    """Maximum long side, in pixels, of the scales that have these losses."""

    @model_validator(mode="after")
    def _has_a_layer(self) -> Self:
        _check_layers(Terms.of(self), self.largest)
        return self


def _check_layers(terms: Terms, largest: int) -> None:
    """Raise ValueError if no layer remains for a size whose long side is `largest` pixels."""
    if not terms.layers:
        raise ValueError("the objective names no layer: give content or style at least one")
    if not terms.where(lambda loss: loss.holds_at(largest)).layers:
        ends = [name for name, loss in terms.losses.items() if not loss.holds_at(largest)]
        raise ValueError(
            f"{ends[0]}.largest leaves larger sizes without a layer: give content or style one"
        )


class ObjectiveSettings(_Losses):
    """The loss that is minimized: `fine` at most sizes, and `coarse` at the small ones, if any."""

    network: NetworkSettings = NetworkSettings()
    coarse: CoarseLosses | None = None
    """Losses that replace the fine losses at scales before the final size. They need a content and
    a style."""
    temporal: Weight = 60.0
    """Weight of the temporal loss in the frames of a clip, relative to the total loss of the
    scene's first frame; see `losses.temporal`."""
    strength: Share = 0.5
    """Style strength; `strength_by` defines its effect."""
    strength_by: Literal["weight", "blend"] = "weight"
    """Effect of `strength`. `weight`: content weights are multiplied by 16^(0.5 - strength).
    `blend`: with s = min(1, strength / 0.8), targets of the style are mixed from s of the style's
    features and 1 - s of the content's; weights of `tv` are multiplied by s and content weights by
    2 (1 - strength). 0 is the content, 1 the style alone."""
    protect_detail: Annotated[Real, Field(ge=0, le=10)] = 0.0
    """Exponent a of the factor by which a place keeps the content: from exp(-a) in the most even
    place to exp(a) in the most detailed one. In the content loss the factor is the relative weight
    of the place. In the loss `neighbors` with `blend` it is the exponent of s."""

    @model_validator(mode="after")
    def _has_a_layer(self) -> Self:
        _check_layers(self.fine, ANY_SIDE)
        return self

    @model_validator(mode="after")
    def _network_has_all_layers(self) -> Self:
        architecture = self.network.architecture
        missing = sorted(self.layers.difference(ARCHITECTURES[architecture]))
        if missing:
            raise ValueError(
                f"network.architecture {architecture} has no layer {missing[0]}: it has "
                f"{', '.join(ARCHITECTURES[architecture])}"
            )
        return self

    @model_validator(mode="after")
    def _border_has_a_position(self) -> Self:
        deepest = max(self.layers)
        if self.network.padding != "zeros" and self.network.border < 2 ** pools_before(deepest):
            raise ValueError(
                f"network.border {self.network.border} is smaller than a position of {deepest}: "
                "set network.border: 16"
            )
        return self

    @model_validator(mode="after")
    def _blends_what_it_can(self) -> Self:
        unable = [loss for terms in self.scales for loss in terms if not loss.can_blend]
        if self.strength_by == "blend" and unable:
            raise ValueError(
                "strength_by: blend mixes the targets of a style with the content, which "
                f"{unable[0].name} cannot do: set strength_by: weight"
            )
        return self

    @property
    def fine(self) -> Terms:
        """The losses of the final size, and of every scale that is not coarse."""
        return Terms.of(self)

    @property
    def scales(self) -> tuple[Terms, ...]:
        """The sets of losses: the fine losses, and the coarse losses if there are any."""
        return (self.fine,) if self.coarse is None else (self.fine, Terms.of(self.coarse))

    def at(self, *, coarse: bool) -> Terms:
        """Return the coarse losses if `coarse` is True and there are any, or else the fine ones."""
        return self.scales[-1] if coarse else self.fine

    @property
    def layers(self) -> frozenset[LayerName]:
        """All layers that the losses of any scale read."""
        return frozenset(layer for terms in self.scales for layer in terms.layers)

    def weighed(self, content: float, style: float) -> Self:
        """Return settings with each weight of all scales multiplied by the factor for its side."""
        weighed = dict(self.fine.weighed(content, style).losses)
        if self.coarse is None:
            return self.model_copy(update=weighed)
        coarse = Terms.of(self.coarse).weighed(content, style).losses
        return self.model_copy(
            update={**weighed, "coarse": self.coarse.model_copy(update=dict(coarse))}
        )


class Scale(Strict):
    """A scale before the final one: `scale` times the final sides, for `steps` steps.

    Scale 1 is the final size with the terms of `objective.coarse`.
    """

    scale: Annotated[Real, Field(gt=0, le=1)]
    steps: SomeSteps


class Schedule(Strict):
    """The output size, the initial picture, the coarse-to-fine scales and the optimizer."""

    size: SizeRule = "640"
    side_rounding: Literal["round", "truncate"] = "round"
    """Rounding of the short side if the long side is given."""
    fit: Literal["within", "stretch"] = "within"
    enlarge: bool = False
    enlarge_styles: bool = False
    """True if a style that is smaller than `style_size` is enlarged."""
    style_size: StyleSize = "area"
    style_scale: Annotated[Real, Field(gt=0, le=64)] = 1.0
    preview: SizeRule | None = None
    """Size that is painted first, and then upscaled to the final size step by step; null: none."""
    stroke: Stroke = 1.0
    """Size of strokes relative to the picture, at any size: 2 makes them twice as large."""
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "lanczos"
    eight_bit: bool = False
    """True if pictures are rounded to 8 bits before they are resized, as in programs that convert
    to floats after resizing."""
    rounding: Literal["round", "truncate"] = "round"

    start: Literal["content", "style", "style_color", "noise", "mixed", "picture"] = "content"
    """Initial picture; `style_color` is the mean color of the styles, with the finest detail of the
    content."""
    noise_ratio: Share = 0.0
    noise_scale: Positive = 1.0
    scales: Annotated[tuple[Scale, ...], Field(max_length=100)] = ()
    """Coarser scales, smallest first, optimized one after another before the final size."""
    smallest: SideLength = 1
    """Minimum long side of a scale, in pixels."""
    below_smallest: Literal["join", "skip"] = "join"
    """Treatment of scales below `smallest`: `join` raises these scales to `smallest` and adds up
    their steps, `skip` drops them."""
    initial_steps: SomeSteps | None = None
    """Number of steps at the coarsest scale in use; null: the steps of the scale."""
    fine_steps: SomeSteps | None = None
    """Maximum number of steps at scales that have the terms of the final size; null: no limit."""
    carry_moments: bool = False
    """True if Adam's moments are kept from one scale to the next, resized."""
    ema_decay: Annotated[Real, Field(ge=0, lt=1)] = 0.0
    """Decay of an exponential moving average of the pictures at one size. The average is the
    output. 0: the output is the last picture."""
    keep_detail: ShareOrTrue = 0.0
    """Share of the content's fine detail that is added when a scale is enlarged; true: 1."""
    final_detail: ShareOrTrue | None = None
    """`keep_detail` for enlarging to the final size; null: `keep_detail`."""
    done: Annotated[Whole, Field(ge=0, le=100 * MOST_STEPS)] = 0
    """Number of steps, over all scales, already applied to the initial picture."""
    upscale_steps: SomeSteps = 8
    """Number of steps at each size above the preview's."""
    match_chroma: bool = False
    """True if the chroma of the output is replaced by the content's, mapped to the statistics of
    the styles."""
    match_grain: bool = False
    """True if color grain is reduced where the output has more of it than the styles."""
    one_ink: bool = False
    """True if the output has only the colors of the style where the style is drawn in one ink, as
    etchings are."""
    keep_range: bool = False
    """True if colors are clamped to 0..255 after every step, so that clipping on output changes
    nothing."""
    optimizer: AnyOptimizer
    steps: Steps
    frame_share: Annotated[Real, Field(gt=0, le=1)] = 0.25
    """Share of the steps of a still picture that a frame of a clip gets if it follows another."""
    save_every: SomeSteps = 50
    save_start: bool = False
    """True if the initial picture is shown, too, as the stage of step 0."""

    def is_stage_due(self, step: int, steps: int) -> bool:
        """Return whether a stage is due after `step`, of all `steps` of a painting."""
        return step % self.save_every == 0 or step == steps

    @property
    def most_steps(self) -> int:
        """Upper bound of the steps over all scales, without the sizes above the preview."""
        return self.steps + sum(scale.steps for scale in self.scales) + (self.initial_steps or 0)

    @model_validator(mode="after")
    def _scales_rise(self) -> Self:
        for smaller, larger in pairwise(scale.scale for scale in self.scales):
            if smaller >= larger:
                raise ValueError(
                    f"scales run from coarse to fine, and {larger:g} comes after {smaller:g}: give "
                    "the smallest scale first, and each scale once"
                )
        return self

    @model_validator(mode="after")
    def _moments_are_adams(self) -> Self:
        reason = self.optimizer.why_not_carried()
        if self.carry_moments and reason:
            raise ValueError(reason)
        return self


GEOMETRY = frozenset(
    {"size", "side_rounding", "fit", "enlarge", "enlarge_styles", "style_size", "style_scale"}
    | {"preview", "stroke", "resample", "eight_bit", "rounding"}
)
"""Schedule fields that define the output's geometry; the others define how the output is
computed."""


class Recipe(Strict):
    """A named objective and schedule."""

    name: str
    about: str
    source: str = "ours"
    ours: tuple[str, ...] = ()
    """Dotted names of the fields that the recipe's source does not define."""
    notes: tuple[str, ...] = ()
    """Sentences for every receipt that say how the recipe differs from its source."""
    objective: ObjectiveSettings
    schedule: Schedule

    @property
    def packages(self) -> dict[str, str]:
        """Versions, by name, of the third-party packages of the losses and the optimizer."""
        used = [loss for terms in self.objective.scales for loss in terms]
        return installed.packages(map(type, (*used, self.schedule.optimizer)))
