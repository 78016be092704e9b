"""Every loss formula, against numbers worked out by hand.

The letters are the paper's, as in `losses`: F and P (N, M), G and A (N, N).
"""

from typing import get_args

import numpy as np
import pytest
import torch
from tests.painter import plain_wasserstein
from torch import Tensor

from stylewatch_painter.algorithm.losses import (
    StyleNorm,
    Sums,
    content_norm,
    content_value,
    feature_sums,
    gram,
    moment_matrix,
    style_target,
    style_value,
    tv_value,
    wasserstein_squared,
    wasserstein_target,
)
from stylewatch_painter.algorithm.losses import feature_sums as sums
from stylewatch_painter.recipes.recipe import Content, Style, TotalVariation

# two maps of three positions; 1 x 4 - 2 x 1 + 3 x 3 = 11, so that F F^T = [[14, 11], [11, 26]]
F = torch.tensor([[1.0, 2.0, 3.0], [4.0, -1.0, 3.0]])
P = torch.tensor([[1.0, 0.0, 3.0], [0.0, 0.0, 2.0]])  # F - P: 2, 4, -1, 1; squares add up to 22
A = torch.tensor([[10.0, 11.0], [11.0, 20.0]])  # G - A: 4, 0, 0, 6; squares add up to 52


TV_LOSSES = get_args(TotalVariation.model_fields["loss"].annotation)


def content(loss: str) -> Content:
    return Content.model_validate({"loss": loss, "layers": {"conv1_1": 1}})


def style(loss: str, gram: str = "sum") -> Style:
    return Style.model_validate({"loss": loss, "gram": gram, "layers": {"conv1_1": 1}})


def smoothness(loss: str) -> TotalVariation:
    return TotalVariation.model_validate({"loss": loss})


def slope(value: Tensor, x: Tensor) -> list[list[float]]:
    (found,) = torch.autograd.grad(value, x)
    plain: list[list[float]] = found.reshape(x.shape[-2:]).tolist()
    return plain


@pytest.mark.parametrize(
    ("kind", "divided"),
    [("sum", 1), ("mean", 3), ("mean_maps", 6)],
)
def test_gram_is_normalized_as_requested(kind: str, divided: int) -> None:
    """By nothing, by M = 3, by N M = 6."""
    wanted = torch.tensor([[14.0, 11.0], [11.0, 26.0]]) / divided
    torch.testing.assert_close(gram(sums(F), style("paper", kind)), wanted)


def test_moments_add_the_means_to_the_gram_matrix() -> None:
    """Over M = 3; the means are 6 / 3 and 6 / 3, that of a constant is 1."""
    wanted = torch.tensor([[14.0, 11.0, 6.0], [11.0, 26.0, 6.0], [6.0, 6.0, 3.0]]) / 3
    torch.testing.assert_close(
        gram(sums(F[None], values=True), style("wasserstein", "moments"))[0], wanted
    )


def test_wasserstein_of_one_map_matches_two_normal_distributions() -> None:
    """(mean - mean')^2 + (deviation - deviation')^2; 1, 2, 3 beside 2, 6, 10: sqrt(2/3) a unit."""
    kind = style("wasserstein", "moments")
    here, there = (
        gram(sums(torch.tensor([[row]]), values=True), kind)
        for row in ([1.0, 2.0, 3.0], [2.0, 6.0, 10.0])
    )
    value = style_value(here, style_target(there, kind), StyleNorm(1, 3, 12), kind)
    assert value.item() == pytest.approx((6 - 2) ** 2 + (3 * (2 / 3) ** 0.5) ** 2, rel=1e-3)


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [("half_sum", 11), ("sum", 22), ("mean", 22 / 6), ("relative", 22 / 14)],
)
def test_content_formulas(loss: str, wanted: float) -> None:
    """The squares add up to 22, over 6 entries, beside an energy of 1 + 9 + 4."""
    assert content_value(F, P, content_norm(P), content(loss)).item() == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ("paper", 52 / (4 * 2**2 * 3**2)),
        ("keras", 52 / (4 * 9 * 12**2)),
        ("mean", 52 / 4),
        ("relative", 52 / (100 + 121 + 121 + 400)),
    ],
)
def test_style_formulas(loss: str, wanted: float) -> None:
    """The squares add up to 52; N = 2, M = 3, and the picture has 12 pixels."""
    value = style_value(gram(sums(F), style(loss)), A, StyleNorm(N=2, M=3, pixels=12), style(loss))
    assert value.item() == pytest.approx(wanted)


def test_content_gradient_is_equation_2() -> None:
    """Equation 2: F - P, here for the formula with the half."""
    u = F.clone().requires_grad_()
    assert slope(content_value(u, P, content_norm(P), content("half_sum")), u) == (F - P).tolist()


def test_style_gradient_is_equation_6() -> None:
    """Equation 6: (G - A) F / (N^2 M^2)."""
    u = F.clone().requires_grad_()
    value = style_value(gram(sums(u), style("paper")), A, StyleNorm(2, 3, 12), style("paper"))
    wanted = (F @ F.T - A) @ F / 36
    torch.testing.assert_close(torch.tensor(slope(value, u)), wanted)


def test_relative_losses_of_a_black_target_are_finite() -> None:
    """Where there is no energy to divide by, it counts as 1."""
    assert content_value(
        F, 0 * P, content_norm(0 * P), content("relative")
    ).item() == pytest.approx(40)
    value = style_value(
        gram(sums(F), style("relative")), 0 * A, StyleNorm(2, 3, 12), style("relative")
    )
    assert value.item() == pytest.approx(14**2 + 2 * 11**2 + 26**2)


# one channel of 3x3: differences down 2, 1, 0 and 0, 2, 5; right 1, 3 and 0, 2 and 2, 3
X = torch.tensor([[0.0, 1.0, 4.0], [2.0, 2.0, 4.0], [2.0, 4.0, 9.0]]).view(1, 1, 3, 3)


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        # over all but the last row and column: (a, b) = (2, 1), (1, 3), (0, 0), (2, 2)
        ("power", 5**1.25 + 10**1.25 + 0 + 8**1.25),
        ("squared", (5 + 10 + 0 + 8) / 2),
        # over all of them: down (2 + 1 + 0 + 0 + 2 + 5) / 6, right (1 + 3 + 0 + 2 + 2 + 5) / 6
        ("absolute", (10 / 6 + 13 / 6) / 2),
        ("isotropic", (5**0.5 + 10**0.5 + 0 + 8**0.5) / 4),
        # rims repeated, down 4 + 1 + 4 + 25 = 34, right 1 + 9 + 4 + 4 + 25 = 43 over 9 pixels;
        # falling 0 1 9 0, 4 4 9 0, 0 4 49 25, 0 4 25 0 and rising 0 1 9 0, 4 1 4 0, 0 0 0 25,
        # 0 4 25 0 over 16
        ("nine_point", 2 / 3 * (34 + 43) / 9 + 1 / 6 * (134 + 73) / 16),
    ],
)
def test_smoothness_formulas(loss: str, wanted: float) -> None:
    assert tv_value(X, smoothness(loss)).item() == pytest.approx(wanted)


@pytest.mark.parametrize("loss", TV_LOSSES)
def test_smoothness_gradients(loss: str) -> None:
    """By central differences, in float64."""
    draw = torch.Generator().manual_seed(3)
    x = 9 * torch.rand(2, 3, 4, 5, generator=draw, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda u: tv_value(u, smoothness(loss)), x.requires_grad_(), raise_exception=True
    )


@pytest.mark.parametrize("loss", TV_LOSSES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1)])
def test_picture_of_one_column_is_smooth(loss: str, shape: tuple[int, int]) -> None:
    """A flat one has no roughness, no slope, and nothing that is no number."""
    u = torch.zeros(1, 3, *shape, requires_grad=True)
    value = tv_value(u, smoothness(loss))
    (found,) = torch.autograd.grad(value, u)
    assert value.item() == 0
    assert torch.isfinite(found).all()


def test_flat_picture_has_a_finite_gradient() -> None:
    """Powers and absolute values have corners there."""
    for loss in TV_LOSSES:
        u = torch.ones(1, 3, 4, 5, requires_grad=True)
        (found,) = torch.autograd.grad(tv_value(u, smoothness(loss)), u)
        assert torch.count_nonzero(found) == 0


@pytest.mark.parametrize("positions", [5, 512, 1025, 20001])
def test_gram_of_bfloat16_maps_is_float32(positions: int) -> None:
    """Rounded to bfloat16 as a whole, it would be off by a few in a thousand."""
    F = torch.rand(2, 3, positions, generator=torch.Generator().manual_seed(1)).bfloat16()
    found = gram(sums(F), style("paper"))
    assert found.dtype == torch.float32
    wanted = F.double() @ F.double().mT
    assert ((found - wanted).norm() / wanted.norm()).item() < 1.4e-3


def test_batched_pictures_are_independent() -> None:
    both, wanted = torch.stack([F, 2 * F]), torch.stack([P, P])
    values = content_value(both, wanted, content_norm(wanted), content("sum"))
    assert values.tolist() == [22, (2 * F - P).square().sum()]
    kind, extent = style("relative"), StyleNorm(2, 3, 12)
    values = style_value(gram(sums(both), kind), torch.stack([A, A]), extent, kind)
    alone = [style_value(gram(sums(one), kind), A, extent, kind).item() for one in both]
    assert values.tolist() == pytest.approx(alone)


# two maps of three positions; 1 x 4 - 2 x 1 + 3 x 3 = 11
MAPS = torch.tensor([[[1.0, 2.0, 3.0], [4.0, -1.0, 3.0]]])


def alike(one: Sums, other: Sums) -> None:
    torch.testing.assert_close(one.products, other.products)
    torch.testing.assert_close(one.values, other.values)
    assert one.count == pytest.approx(other.count)


def test_sums_are_products_and_values_over_positions() -> None:
    found = feature_sums(MAPS, values=True)
    assert found.products.tolist() == [[[14, 11], [11, 26]]]
    assert found.values is not None and found.values.tolist() == [[6, 6]]
    assert found.count == 3


def test_sums_of_parts_add_up() -> None:
    parts = feature_sums(MAPS[..., :2], values=True) + feature_sums(MAPS[..., 2:], values=True)
    alike(parts, feature_sums(MAPS, values=True))
    assert (feature_sums(MAPS) + feature_sums(MAPS)).values is None


def test_positions_count_by_weight() -> None:
    """Weights of 1, 1/2 and 0: the first position, and half of the second."""
    found = feature_sums(MAPS, torch.tensor([1.0, 0.5, 0.0]), values=True)
    wanted = Sums(torch.tensor([[[3.0, 3.0], [3.0, 16.5]]]), torch.tensor([[2.0, 3.5]]), 1.5)
    alike(found, wanted)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.5, 0.0])])
def test_gradient_matches_autograd(weights: Tensor | None) -> None:
    """Each pulled its own way, against the same sums by plain products."""
    pull = torch.tensor([[[1.0, 2.0], [-3.0, 4.0]]])
    u, v = MAPS.clone().requires_grad_(), MAPS.clone().requires_grad_()
    w = torch.ones(3) if weights is None else weights
    (slope,) = torch.autograd.grad((feature_sums(u, weights).products * pull).sum(), u)
    (wanted,) = torch.autograd.grad(((v * w @ v.mT) * pull).sum(), v)
    torch.testing.assert_close(slope, wanted)


def features(seed: int, positions: int, maps: int = 5, spread: float = 3.0) -> Tensor:
    """Features by chance, (1, maps, positions) float64, around 2."""
    draw = torch.Generator().manual_seed(seed)
    return 2 + spread * torch.rand(1, maps, positions, generator=draw, dtype=torch.float64)


def of(f: Tensor) -> Tensor:
    """The moments of features (B, n, m)."""
    return moment_matrix(f @ f.mT / f.shape[-1], f.mean(-1))


def distance(f: Tensor, g: Tensor) -> Tensor:
    return wasserstein_squared(of(f), wasserstein_target(of(g)))


@pytest.mark.parametrize("positions", [40, 5, 3, 1])
@pytest.mark.parametrize("others", [40, 3, 1])
def test_wasserstein_matches_textbook(positions: int, others: int) -> None:
    """Of any rank: so few positions make no more directions than that."""
    f, g = features(1, positions), features(2, others)
    products = (g @ g.mT / others)[0].numpy()
    value, _ = plain_wasserstein.of_features(f[0].numpy(), g.mean(-1)[0].numpy(), products)
    assert distance(f, g).item() == pytest.approx(value, rel=1e-6)


def test_wasserstein_gradient_matches_textbook() -> None:
    f, g = features(1, 40).requires_grad_(), features(2, 40)
    (found,) = torch.autograd.grad(distance(f, g), f)
    products = (g @ g.mT / 40)[0].numpy()
    plain = f.detach()[0].numpy()
    _, wanted = plain_wasserstein.of_features(plain, g.mean(-1)[0].numpy(), products)
    np.testing.assert_allclose(found[0].numpy(), wanted, atol=1e-9)


@pytest.mark.parametrize("blank", [0.0, 7.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wasserstein_of_flat_pictures_is_finite(blank: float, dtype: torch.dtype) -> None:
    """A black one or one of a single color, as painting, as style, and as both."""
    flat, rich = torch.full((1, 5, 40), blank, dtype=dtype), features(1, 40).to(dtype)
    for f, g in ((flat, rich), (rich, flat), (flat, flat)):
        u = f.clone().requires_grad_()
        value = distance(u, g)
        (slope,) = torch.autograd.grad(value, u)
        assert value.dtype == dtype
        assert value.isfinite().all()
        assert slope.isfinite().all()


def test_nan_in_one_picture_leaves_the_others() -> None:
    f, g = features(1, 40), features(2, 40)
    broken = torch.cat([f, f * torch.nan, f * torch.inf])
    found = wasserstein_squared(of(broken), wasserstein_target(of(g)).expand(3, -1, -1))
    assert found[0].item() == pytest.approx(distance(f, g).item())
    assert found[1:].isnan().all()
