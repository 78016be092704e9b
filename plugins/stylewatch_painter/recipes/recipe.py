"""A recipe: an objective (what is wanted) and a schedule (how to get there), every field checked.

`recipe_book` finds and reads them; docs/recipes.md says where each number comes from.
"""

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

LayerName = Literal[
    "conv1_1", "conv1_2", "conv2_1", "conv2_2",
    "conv3_1", "conv3_2", "conv3_3", "conv3_4",
    "conv4_1", "conv4_2", "conv4_3", "conv4_4",
    "conv5_1", "conv5_2", "conv5_3", "conv5_4",
]  # fmt: skip
"""The 16 convolutions of VGG19 by the paper's names; each means the features after its ReLU."""

LAYERS: tuple[LayerName, ...] = get_args(LayerName)

MOST_STEPS = 10_000_000
"""Steps at one size."""

_LARGEST = 1e300
"""Of weights and rates; the painter reckons in float32, which ends at 3.4e38."""

Weight = Annotated[float, Field(ge=0, le=_LARGEST)]
Weights = dict[LayerName, Weight]
Positive = Annotated[float, Field(gt=0, le=_LARGEST)]
Share = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[int, Field(ge=0, le=MOST_STEPS)]
SomeSteps = Annotated[int, Field(gt=0, le=MOST_STEPS)]
SideLength = Annotated[int, Field(gt=0, lt=1_000_000)]
"""Pixels."""

_SIDE = "[1-9][0-9]{0,5}"
_AREA = r"(?=[0.]*[1-9])([0-9]{1,6}(\.[0-9]+)?|\.[0-9]+)mp"
_SIZE = f"{_SIDE}|{_SIDE}x{_SIDE}|x{_SIDE}|{_SIDE}x|{_AREA}"
_SIZES = "640 (long side), 640x480 (box), x400 (rows), 400x (columns) or 0.25mp (area)"


def size_as_text(value: object) -> object:
    """640 in YAML is a number; a size is text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _written_as(pattern: str, choice: str) -> tuple[BeforeValidator, AfterValidator, Any]:
    """Checks that a text follows `pattern`; what else it is told in the words of `choice`."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"should be {choice}")
        return text

    schema = WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})
    return BeforeValidator(size_as_text), AfterValidator(check), schema


Size = Annotated[str, *_written_as(_SIZE, _SIZES)]
"""`640` long side, `640x480` box, `x400` rows, `400x` columns (pixels), `0.25mp` area."""

STYLE_SIZE = f"{_SIZE}|area|side|stretch"
STYLE_SIZES = f"area, side, stretch, {_SIZES}"

StyleSize = Annotated[str, *_written_as(STYLE_SIZE, STYLE_SIZES)]
"""`area`: as many pixels as the content; `side`: its long side; `stretch`: its very shape."""


class Strict(BaseModel):
    """Frozen, and without a place for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Network(Strict):
    """How the picture goes through VGG19."""

    pool: Literal["max", "average"] = "max"
    pool_edge: Literal["floor", "ceil"] = "floor"
    pixel_range: Positive = 255.0
    """What white becomes before the mean is subtracted: 255, or 256 as neural-style has it."""
    padding: Literal["zeros", "reflect", "replicate"] = "zeros"
    """What the network sees beyond the picture's rims; see `padded`."""


class Content(Strict):
    """The content loss; see `losses.content_value` for the formulas."""

    loss: Literal["half_sum", "sum", "mean", "relative"]
    layers: Weights


class Style(Strict):
    """The style loss; see `losses.style_value` for the formulas."""

    gram: Literal["sum", "mean", "mean_maps", "moments"]
    loss: Literal["paper", "keras", "mean", "relative", "wasserstein"]
    layers: Weights
    several: Literal["losses", "grams"] = "losses"
    """Several styles: add their losses, or blend their Gram matrices into one target."""

    @model_validator(mode="after")
    def _moments_for_wasserstein(self) -> Self:
        if (self.gram == "moments") != (self.loss == "wasserstein"):
            raise ValueError(
                "gram: moments and loss: wasserstein go together: the distance is between means "
                "and covariances, and no other loss is"
            )
        return self


class TotalVariation(Strict):
    """Smoothness; see `losses.tv_value` for the formulas."""

    loss: Literal["power", "absolute", "isotropic", "squared", "nine_point"] = "isotropic"
    weight: Weight = 0.0
    gradient_weight: Weight | None = None
    """Set: the term moves the picture with this weight and is no part of the total."""

    @model_validator(mode="after")
    def _one_weight(self) -> Self:
        if self.weight and self.gradient_weight is not None:
            raise ValueError("tv takes a weight or a gradient_weight, not both")
        return self


class Objective(Strict):
    """What is wanted: which features of which picture, and how much of each."""

    network: Network = Network()
    content: Content | None = None
    style: Style | None = None
    tv: TotalVariation | None = None
    strength: Share = 0.5
    """How strongly the style acts: content weights are multiplied by 16^(0.5 - strength)."""

    @model_validator(mode="after")
    def _something_wanted(self) -> Self:
        if not self.layers:
            raise ValueError("the objective names no layer: give content or style at least one")
        return self

    @property
    def layers(self) -> frozenset[LayerName]:
        """Every layer that a loss looks at."""
        sides = (side.layers for side in (self.content, self.style) if side is not None)
        return frozenset(layer for weights in sides for layer in weights)


class Adam(Strict):
    """Adam with epsilon outside the bias correction, as TensorFlow has it."""

    kind: Literal["adam"]
    rate: Positive = 2.0
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Positive = 1e-8


class Sgd(Strict):
    """Gradient descent; the rate at step i (from 0) is rate x decay^(i / decay_steps)."""

    kind: Literal["sgd"]
    rate: Positive = 100.0
    decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    decay_steps: SomeSteps = 100


class Lbfgs(Strict):
    """L-BFGS; without a line search a step is one evaluation."""

    kind: Literal["lbfgs"]
    rate: Positive = 1.0
    history: Annotated[int, Field(gt=0, le=10_000)] = 100
    line_search: Literal["none", "strong_wolfe"] = "none"
    first_step: Positive | None = None
    """How far the first step moves the picture, in levels (root mean square); none: 1 / |g|_1."""
    coordinates: Annotated[float, Field(ge=0, le=2)] = 0.0
    """p: the picture is described by Fourier coefficients scaled by 1 / f^p; 0: by pixels."""
    step_back: Annotated[float, Field(gt=1, le=_LARGEST)] | None = None
    """A step after which the objective is so many times larger, or no number, is taken back."""


class Pass(Strict):
    """A smaller size on the way: `scale` of the final sides, `steps` there."""

    scale: Annotated[float, Field(gt=0, lt=1)]
    steps: SomeSteps


class Schedule(Strict):
    """How to get there: the picture's size, its start, the sizes on the way and the optimizer."""

    size: Size = "640"
    fit: Literal["within", "stretch"] = "within"
    enlarge: bool = False
    style_size: StyleSize = "area"
    style_scale: Annotated[float, Field(gt=0, le=64)] = 1.0
    preview: Size | None = None
    """The painting is first that of this size, and from there goes up to its own."""
    stroke: Annotated[float, Field(ge=0.0625, le=16)] = 1.0
    """The size of strokes beside the picture, at any size: 2 is twice as large as usual."""
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "lanczos"
    eight_bit: bool = False
    """Resize as pictures of 8 bits, rounded, as programs do that resize before they convert."""
    rounding: Literal["round", "truncate"] = "round"

    start: Literal["content", "style", "noise", "mixed", "picture"] = "content"
    noise_ratio: Share = 0.0
    noise_scale: Positive = 1.0
    passes: Annotated[tuple[Pass, ...], Field(max_length=100)] = ()
    smallest: SideLength = 1
    """Passes whose long side would be under this many pixels are painted at it instead."""
    first_steps: SomeSteps | None = None
    """Steps at the smallest of the passes that are painted, in place of its own."""
    carry: bool = False
    """On enlarging, the optimizer goes on with what it knows, enlarged; for Adam only."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """What is shown is the average of the pictures so far at this size, each older one counting
    this much of the next; 0: the last alone."""
    keep_detail: Share = 0.0
    """On enlarging, the share of the content's own detail that comes back; true: all of it."""
    done: Annotated[int, Field(ge=0, le=100 * MOST_STEPS)] = 0
    """So many steps, over all sizes, the picture to start from has behind it."""
    print_steps: SomeSteps = 8
    """Steps at each size after the preview's."""
    keep_range: bool = False
    """Keep colors within 0..255 on the way: what is written is then what was painted."""
    optimizer: Annotated[Adam | Sgd | Lbfgs, Field(discriminator="kind")]
    steps: Steps
    until: Literal["steps", "converged"] = "steps"
    """`converged`: a size ends before its steps are made, once nothing moves."""
    tolerance: Positive = 0.001
    """Nothing moves where ten steps take less than this share from the objective."""
    save_every: SomeSteps = 50

    @property
    def most_steps(self) -> int:
        """The most steps that there can be, over all sizes but those of a print."""
        return self.steps + sum(one.steps for one in self.passes) + (self.first_steps or 0)

    @model_validator(mode="after")
    def _what_can_be_carried(self) -> Self:
        if self.carry and self.optimizer.kind != "adam":
            raise ValueError(
                f"carry takes Adam's moments to the next size, and {self.optimizer.kind} has "
                "nothing that fits another size: say carry=false, or optimizer.kind=adam"
            )
        return self


GEOMETRY = frozenset(
    {"size", "fit", "enlarge", "style_size", "style_scale", "resample", "eight_bit", "rounding"}
    | {"preview", "stroke"}
)
"""The fields of a schedule that say what is painted; the others say how to get there."""


class Recipe(Strict):
    """A name for an objective and a schedule."""

    name: str
    about: str
    source: str = "ours"
    ours: tuple[str, ...] = ()
    """The fields (dotted) that the source does not give."""
    notes: tuple[str, ...] = ()
    """Sentences that belong in every receipt: where ours departs from the source."""
    objective: Objective
    schedule: Schedule
