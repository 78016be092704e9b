"""The recipe model: an objective (the loss) and a schedule (sizes, start, optimizer, steps).

`book` finds and reads recipes; docs/recipe-reference.md gives the source of each number.
"""

import re
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from stylewatch_painter.vgg import ARCHITECTURES, Architecture, LayerName, pools_before

Pool = Literal["max", "average"]

MOST_STEPS = 10_000_000
"""Maximum number of steps at one size."""

_MAX_FLOAT = 1e30
"""Maximum weight or rate. The painter computes in float32, whose largest value is 3.4e38."""


def _without_removed(layers: object) -> object:
    if not isinstance(layers, dict):
        return layers
    return {layer: weight for layer, weight in layers.items() if weight is not None}


def _refuse_boolean(value: object) -> object:
    """Refuse a boolean for a number, because YAML reads a plain `no` as False, which is 0."""
    if isinstance(value, bool):
        raise ValueError("should be a number")
    return value


Real = Annotated[float, BeforeValidator(_refuse_boolean)]
Whole = Annotated[int, BeforeValidator(_refuse_boolean)]
Weight = Annotated[Real, Field(ge=0, le=_MAX_FLOAT)]
Weights = Annotated[dict[LayerName, Weight], BeforeValidator(_without_removed)]
"""Weight of each layer; layers with the weight None are removed."""
Positive = Annotated[Real, Field(gt=0, le=_MAX_FLOAT)]
Share = Annotated[Real, Field(ge=0, le=1)]
ShareOrTrue = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[Whole, Field(ge=0, le=MOST_STEPS)]
SomeSteps = Annotated[Whole, Field(gt=0, le=MOST_STEPS)]
_ANY_SIDE = 999_999
SideLength = Annotated[Whole, Field(gt=0, le=_ANY_SIDE)]
"""Length of a side, in pixels."""

_SIDE = "[1-9][0-9]{0,5}"
_AREA = r"(?=[0.]*[1-9])([0-9]{1,6}(\.[0-9]+)?|\.[0-9]+)mp"
_SIZE = f"{_SIDE}|{_SIDE}-short|{_SIDE}x{_SIDE}|x{_SIDE}|{_SIDE}x|{_AREA}"
_SIZES = (
    "640 (long side), 512-short (short side), 640x480 (box), x400 (rows), 400x (columns) or 0.25mp "
    "(area)"
)


def _number_as_text(value: object) -> object:
    """Convert a value that YAML read as a number, such as 640, to text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def written_as(pattern: str, choice: str) -> tuple[BeforeValidator, AfterValidator, Any]:
    """Return validators for text that matches `pattern`; `choice` describes it in messages."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"should be {choice}")
        return text

    schema = WithJsonSchema({"type": ["string", "number"], "pattern": f"^({pattern})$"})
    return BeforeValidator(_number_as_text), AfterValidator(check), schema


Size = Annotated[str, *written_as(_SIZE, _SIZES)]
"""Size of a picture: `640` is the long side, `512-short` the short side, `640x480` a box, `x400`
the rows, `400x` the columns (pixels), `0.25mp` the area."""

STYLE_SIZE = f"{_SIZE}|area|side|stretch"
STYLE_SIZES = f"area, side, stretch, {_SIZES}"

StyleSize = Annotated[str, *written_as(STYLE_SIZE, STYLE_SIZES)]
"""Size of a style: `area` has as many pixels as the content, `side` its long side, `stretch` its
exact shape; or a Size."""


class Strict(BaseModel):
    """Base class of frozen models that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Network(Strict):
    """Settings of the network's forward pass."""

    architecture: Architecture = "vgg19"
    """`vgg16`: VGG16 if its weights are installed, otherwise VGG19; see `weights.choose`."""
    pool: Pool = "max"
    pool_edge: Literal["floor", "ceil"] = "floor"
    pixel_range: Positive = 255.0
    """Value of white before the mean is subtracted: 255, or 256 as in neural-style."""
    padding: Literal["zeros", "reflect", "replicate"] = "zeros"
    """Padding around the picture; see `scene.padding`."""
    border: Literal[8, 16, 32] = 32
    """Width in pixels of the padding `reflect` or `replicate`, on each side."""


Side = Literal["content", "style"]
"""Role of a picture that losses compare the output with."""


class LossSettings(Strict):
    """Base class of the settings of a loss; the class in `losses` documents the formula."""

    compared: ClassVar[frozenset[Side]] = frozenset()
    """Pictures that the loss compares the output with."""
    is_additive: ClassVar[bool] = False
    """True if the loss is computed from sums over positions, which can be added up tile by tile."""

    @property
    def layer_names(self) -> tuple[LayerName, ...]:
        """The layers whose features the loss reads."""
        return ()

    def is_possible(self, given: Collection[Side]) -> bool:
        """Return whether the loss can be computed with the pictures that are `given`."""
        return self.compared.issubset(given)

    def holds_at(self, side: int) -> bool:
        """Return whether the loss applies at a size whose long side is `side` pixels."""
        return True

    def weighed(self, content: float, style: float) -> Self:
        """Multiply each weight by the factor for content losses or for style losses."""
        return self


class _LayerLoss(LossSettings):
    layers: Weights

    @property
    def layer_names(self) -> tuple[LayerName, ...]:
        return tuple(self.layers)

    def _times(self, factor: float) -> Self:
        """Multiply the weight of each layer."""
        layers = {layer: weight * factor for layer, weight in self.layers.items()}
        return self.model_copy(update={"layers": layers})


class Content(_LayerLoss):
    """Settings of `losses.content`."""

    compared = frozenset[Side]({"content"})
    is_additive = True
    loss: Literal["half_sum", "sum", "mean", "relative"]

    def weighed(self, content: float, style: float) -> Self:
        """Multiply the weights by the factor for content losses."""
        return self._times(content)


class Neighbors(_LayerLoss):
    """Settings of `losses.columns` and `losses.layer_match`."""

    compared = frozenset[Side]({"content", "style"})
    layers: Weights
    """Layers of a hypercolumn, each with the factor of its features."""
    weight: Weight = 1.0
    content_share: Share = 0.75
    """Share of the content in the picture that is matched, blended with the start of the scale.
    With `start: content` the coarsest scale matches the content alone."""
    hub_penalty: Weight = 0.0
    """Penalty for hubs, positions of the style that are near to many of the picture. It is the
    factor of `nearest.hubness`, for `each: column` only."""
    brightness: Weight = 0.0
    """Factor of the squared difference of brightness, in standard deviations. It makes light places
    follow light ones of the style and dark places dark ones, for `each: column` only."""
    dimensions: Whole | None = Field(None, ge=1)
    """Number of dimensions to which hypercolumns are projected for the search; null: all, an exact
    search. For `each: column` only."""
    by_length: bool = False
    """Let positions whose targets are shorter than the root mean square length count less, in
    proportion. They are in plain areas, and the directions of their features are mostly noise. For
    `each: column` only."""
    rotations: bool = False
    """Also search the style turned by 90, 180 and 270 degrees."""
    each: Literal["column", "layer"] = "column"
    """Kind of the features that are matched. `column`: whole hypercolumns, once for each scale,
    using the picture that it starts from. `layer`: the features of each layer separately, in every
    step, at random positions."""
    largest: SideLength = _ANY_SIDE
    """Maximum long side, in pixels, of the sizes that have this term."""

    @model_validator(mode="after")
    def _of_columns(self) -> Self:
        for name in ("hub_penalty", "brightness", "dimensions", "by_length"):
            if getattr(self, name) and self.each == "layer":
                raise ValueError(f"{name} is for each: column; leave it out with each: layer")
        return self

    def holds_at(self, side: int) -> bool:
        """Return whether `side` is at most `largest`."""
        return side <= self.largest

    def weighed(self, content: float, style: float) -> Self:
        """Multiply the weight by the factor for style losses."""
        return self.model_copy(update={"weight": self.weight * style})


class Transport(_LayerLoss):
    """Settings of `losses.transport`.

    The weights of self-similarity, transport and moments add up to 1.
    """

    compared = frozenset[Side]({"content", "style"})
    layers: Weights
    """Layers of a hypercolumn, each with the factor of its features."""
    pixels: Weight = 1.0
    """Factor of the colors (0..1) in a hypercolumn."""
    samples: Annotated[Whole, Field(ge=2, le=100_000)] = 1024
    """Number of positions drawn in each step from the picture, and from each of its regions."""
    style_samples: Annotated[Whole, Field(ge=2, le=100_000)] = 5000
    """Number of positions drawn for each scale from a style, and from each of its regions."""
    content_weight: Weight = 1.0
    content_side: SideLength | None = None
    """Long side, in pixels, of a scale with exactly `content_weight`. The weight is inversely
    proportional to the long side. null: all scales have the same weight."""
    palette: bool = True
    """Compare colors separately as well."""

    def is_possible(self, given: Collection[Side]) -> bool:
        """Return whether at least one picture is given."""
        return not self.compared.isdisjoint(given)

    def weighed(self, content: float, style: float) -> Self:
        """Multiply the weight of the content by `content / style`, as all weights add up to 1."""
        return self.model_copy(update={"content_weight": self.content_weight * content / style})


class Style(_LayerLoss):
    """Settings of `losses.gram`."""

    compared = frozenset[Side]({"style"})
    is_additive = True
    gram: Literal["sum", "mean", "mean_maps", "moments"]
    loss: Literal["paper", "keras", "mean", "relative", "wasserstein"]
    several: Literal["losses", "grams"] = "losses"
    """With several styles: add their losses, or average their Gram matrices into one target."""

    @model_validator(mode="after")
    def _moments_for_wasserstein(self) -> Self:
        if (self.gram == "moments") != (self.loss == "wasserstein"):
            raise ValueError(
                "gram: moments and loss: wasserstein go together: the distance is between means "
                "and covariances, and no other loss is"
            )
        return self

    def weighed(self, content: float, style: float) -> Self:
        """Multiply the weights by the factor for style losses."""
        return self._times(style)


class TotalVariation(LossSettings):
    """Settings of `losses.total_variation`."""

    loss: Literal["power", "absolute", "isotropic", "squared", "nine_point"] = "isotropic"
    weight: Weight = 0.0
    gradient_weight: Weight | None = None
    """If set, the term adds to the gradient with this weight and is not part of the total."""

    @model_validator(mode="after")
    def _one_weight(self) -> Self:
        if self.weight and self.gradient_weight is not None:
            raise ValueError("tv takes a weight or a gradient_weight, not both")
        return self


class Terms(Strict):
    """The terms of a loss, with their weights."""

    content: Content | None = None
    style: Style | None = None
    neighbors: Neighbors | None = None
    transport: Transport | None = None
    tv: TotalVariation | None = None

    @model_validator(mode="after")
    def _compares_a_layer(self) -> Self:
        for name in ("neighbors", "transport"):
            if (term := getattr(self, name)) is not None and not term.layers:
                raise ValueError(
                    f"{name} names no layer to compare: give {name}.layers one, or leave the term "
                    f"out with {name}: null"
                )
        return self

    @model_validator(mode="after")
    def _has_a_layer(self) -> Self:
        if not self.layers:
            raise ValueError("the objective names no layer: give content or style at least one")
        longest = getattr(self, "largest", _ANY_SIDE)  # of the coarse terms
        if not self.where(lambda loss: loss.holds_at(longest)).layers:
            raise ValueError(
                "neighbors.largest leaves larger sizes without a layer: give content or style one"
            )
        return self

    @property
    def losses(self) -> Iterator[LossSettings]:
        """The settings of each loss, in the order of the fields."""
        fields = (getattr(self, name) for name in Terms.model_fields)
        return (field for field in fields if isinstance(field, LossSettings))

    def where(self, keep: Callable[[LossSettings], bool]) -> Self:
        """Return the terms with only those losses for which `keep` returns True."""
        fields = {name: getattr(self, name) for name in Terms.model_fields}
        update = {name: None for name, loss in fields.items() if loss and not keep(loss)}
        return self.model_copy(update=update)

    @property
    def layers(self) -> frozenset[LayerName]:
        """All layers that the losses read."""
        return frozenset(layer for loss in self.losses for layer in loss.layer_names)

    @property
    def needs_whole_picture(self) -> bool:
        """True if a loss reads features and is not additive, which excludes tiles."""
        return any(loss.layer_names and not loss.is_additive for loss in self.losses)

    @property
    def compared(self) -> frozenset[Side]:
        """The pictures that the losses compare the output with."""
        return frozenset(side for loss in self.losses for side in loss.compared)

    def weighed(self, content: float, style: float) -> Self:
        """Multiply the weights of all content losses, and of all style losses."""
        fields = {name: getattr(self, name) for name in Terms.model_fields}
        update = {name: loss.weighed(content, style) for name, loss in fields.items() if loss}
        return self.model_copy(update=update)


class CoarseTerms(Terms):
    """The terms of the coarser scales, up to a maximum size."""

    largest: SideLength = _ANY_SIDE
    """Maximum long side, in pixels, of the scales that have these terms."""


class Objective(Terms):
    """The loss that is minimized: content, style and smoothness terms, with their weights."""

    network: Network = Network()
    coarse: CoarseTerms | None = None
    """Other terms for scales before the final size; they need a content and a style."""
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
    """How much more detailed places keep of the content than even ones: factors from exp(-a) in the
    most even place to exp(a) in the most detailed one. A factor is the exponent of s for neighbors
    with `blend`, and the relative weight of its place in the content loss."""

    @model_validator(mode="after")
    def _network_has_all_layers(self) -> Self:
        architecture = self.network.architecture
        if missing := sorted(self.all_layers.difference(ARCHITECTURES[architecture])):
            raise ValueError(
                f"network.architecture {architecture} has no layer {missing[0]}: it has "
                f"{', '.join(ARCHITECTURES[architecture])}"
            )
        return self

    @model_validator(mode="after")
    def _border_has_a_position(self) -> Self:
        deepest = max(self.all_layers)
        if self.network.padding != "zeros" and self.network.border < 2 ** pools_before(deepest):
            raise ValueError(
                f"network.border {self.network.border} is smaller than a position of {deepest}: "
                "set network.border: 16"
            )
        return self

    @model_validator(mode="after")
    def _blends_what_it_can(self) -> Self:
        for terms in (self, self.coarse) if self.strength_by == "blend" else ():
            by_layer = terms and terms.neighbors and terms.neighbors.each == "layer"
            if terms and (terms.transport is not None or by_layer):
                what = "neighbors with each: layer" if by_layer else "transport"
                raise ValueError(
                    "strength_by: blend mixes the targets of a style with the content, which "
                    f"{what} cannot do: set strength_by: weight"
                )
        return self

    def weighed(self, content: float, style: float) -> Self:
        """Multiply the weights at all scales."""
        objective = super().weighed(content, style)
        coarse = self.coarse and self.coarse.weighed(content, style)
        return objective.model_copy(update={"coarse": coarse})

    def at(self, *, coarse: bool) -> Terms:
        """Return the terms of coarse levels, or those of the other levels."""
        return self.coarse if coarse and self.coarse is not None else self

    @property
    def all_layers(self) -> frozenset[LayerName]:
        """All layers that the terms of any scale read."""
        return self.layers if self.coarse is None else self.layers | self.coarse.layers


class Adam(Strict):
    """Adam with epsilon outside the bias correction, as in TensorFlow."""

    kind: Literal["adam"]
    rate: Positive = 2.0
    beta1: Annotated[Real, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[Real, Field(ge=0, lt=1)] = 0.999
    epsilon: Positive = 1e-8
    pyramid: Annotated[Whole, Field(ge=0, le=20)] = 0
    """Number of detail levels of a Laplacian pyramid whose coefficients replace pixels as
    variables. 0 optimizes pixels. A small picture has fewer levels."""


class Sgd(Strict):
    """Gradient descent. The rate at step i (from 0) is rate x decay^(i / decay_steps)."""

    kind: Literal["sgd"]
    rate: Positive = 100.0
    decay: Annotated[Real, Field(gt=0, le=1)] = 1.0
    decay_steps: SomeSteps = 100


class Rmsprop(Strict):
    """RMSprop, as in torch: epsilon is added to the root of the mean square."""

    kind: Literal["rmsprop"]
    rate: Positive = 1.0
    final_rate: Positive | None = None
    """Rate at the final size; null: `rate`."""
    decay: Annotated[Real, Field(ge=0, lt=1)] = 0.99
    epsilon: Positive = 1e-8
    pyramid: Annotated[Whole, Field(ge=0, le=20)] = 0
    """As in `Adam`."""


class Lbfgs(Strict):
    """L-BFGS. Without a line search a step is one evaluation of the objective."""

    kind: Literal["lbfgs"]
    rate: Positive = 1.0
    history: Annotated[Whole, Field(gt=0, le=10_000)] = 100
    line_search: Literal["none", "strong_wolfe"] = "none"
    first_step: Positive | None = None
    """Length of the first step, as root mean square in levels of 0..255; null: 1 / |g|_1."""
    fourier_power: Annotated[Real, Field(ge=0, le=2)] = 0.0
    """Preconditioner: optimize Fourier coefficients scaled by 1 / f^p instead of pixels; 0: off."""
    fourier_diagonals: bool = False
    """Preconditioner: longer steps along fine diagonal waves, to which the network hardly responds.
    It is off at scales with the terms of `objective.coarse`."""
    step_back: Annotated[Real, Field(gt=1, le=_MAX_FLOAT)] | None = None
    """Undo a step that multiplies the objective by more than this factor or makes it infinite or
    NaN."""


class Scale(Strict):
    """A scale before the final one: `scale` times the final sides, for `steps` steps.

    Scale 1 is the final size with the terms of `objective.coarse`.
    """

    scale: Annotated[Real, Field(gt=0, le=1)]
    steps: SomeSteps


class Schedule(Strict):
    """The output size, the initial picture, the coarse-to-fine scales and the optimizer."""

    size: Size = "640"
    side_rounding: Literal["round", "truncate"] = "round"
    """Rounding of the short side if the long side is given."""
    fit: Literal["within", "stretch"] = "within"
    enlarge: bool = False
    enlarge_styles: bool = False
    """Enlarge also a style that is smaller than `style_size`."""
    style_size: StyleSize = "area"
    style_scale: Annotated[Real, Field(gt=0, le=64)] = 1.0
    preview: Size | None = None
    """Paint at this size first, then upscale to the final size step by step."""
    stroke: Annotated[Real, Field(ge=0.0625, le=16)] = 1.0
    """Size of strokes relative to the picture, at any size: 2 makes them twice as large."""
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "lanczos"
    eight_bit: bool = False
    """Round to 8 bits before resizing, like programs that convert after resizing."""
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
    """Smaller scales: `join` raises them to `smallest` and adds up their steps, `skip` drops
    them."""
    initial_steps: SomeSteps | None = None
    """Number of steps at the coarsest scale in use; null: those of the scale."""
    fine_steps: SomeSteps | None = None
    """Maximum number of steps at scales that have the terms of the final size; null: no limit."""
    carry_moments: bool = False
    """Keep Adam's moments from one scale to the next, resized."""
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
    """Replace the chroma of the output by the content's, mapped to the style's statistics."""
    keep_range: bool = False
    """Clamp colors to 0..255 after every step, so that clipping on output changes nothing."""
    optimizer: Annotated[Adam | Sgd | Rmsprop | Lbfgs, Field(discriminator="kind")]
    steps: Steps
    frame_share: Annotated[Real, Field(gt=0, le=1)] = 0.25
    """Share of the final size's steps for a frame of a clip that follows another frame."""
    save_every: SomeSteps = 50
    save_start: bool = False
    """Also show the initial picture, as the stage of step 0."""

    @property
    def most_steps(self) -> int:
        """Upper bound of the steps over all scales, without the sizes above the preview."""
        return self.steps + sum(scale.steps for scale in self.scales) + (self.initial_steps or 0)

    @model_validator(mode="after")
    def _scales_rise(self) -> Self:
        for before, after in pairwise(scale.scale for scale in self.scales):
            if before >= after:
                raise ValueError(
                    f"scales run from coarse to fine, and {after:g} comes after {before:g}: give "
                    "the smallest scale first, and each scale once"
                )
        return self

    @model_validator(mode="after")
    def _moments_are_adams(self) -> Self:
        if self.carry_moments and self.optimizer.kind != "adam":
            raise ValueError(
                f"carry_moments keeps Adam's moments for the next scale, and {self.optimizer.kind} "
                "has none: set carry_moments=false, or optimizer.kind=adam"
            )
        if self.carry_moments and self.optimizer.kind == "adam" and self.optimizer.pyramid:
            raise ValueError(
                "carry_moments resizes moments as pictures, and those of a pyramid are none: set "
                "carry_moments=false, or optimizer.pyramid=0"
            )
        return self


GEOMETRY = frozenset(
    {"size", "side_rounding", "fit", "enlarge", "enlarge_styles", "style_size", "style_scale"}
    | {"preview", "stroke", "resample", "eight_bit", "rounding"}
)
"""Schedule fields that define the output's geometry; the others define how it is computed."""


class Recipe(Strict):
    """A named objective and schedule."""

    name: str
    about: str
    source: str = "ours"
    ours: tuple[str, ...] = ()
    """Dotted names of the fields that the source does not define."""
    notes: tuple[str, ...] = ()
    """Sentences for every receipt that say how the recipe differs from its source."""
    objective: Objective
    schedule: Schedule
