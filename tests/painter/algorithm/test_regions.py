"""Masks are held against one another, and brought to the size of feature maps."""

import numpy as np
import pytest
from tests.painter import small
from tests.painter.paintings import final, painting

from stylewatch_painter.algorithm.state import fingerprint
from stylewatch_painter.algorithm.task import Style, check_masks, shares
from stylewatch_painter.errors import PictureError
from stylewatch_painter.stage import Regions


def halves(width: int = small.WIDTH, height: int = small.HEIGHT) -> Regions:
    """The left half and the right half as two regions."""
    mask = np.zeros((height, width, 2), dtype=np.float32)
    mask[:, : width // 2, 0] = mask[:, width // 2 :, 1] = 1
    return mask


def styles(*masks: Regions | None) -> tuple[Style, ...]:
    """Styles of weights 1, 3 ... with these masks."""
    return tuple(
        Style(small.picture(1 + n), f"style-{n + 1}", weight=2 * n + 1, mask=mask)
        for n, mask in enumerate(masks)
    )


def test_styles_share_a_region_by_their_weights_where_they_show_something_of_it() -> None:
    left = halves() * [1, 0]
    task = painting(content_mask=halves(), styles=styles(left.astype(np.float32), None))
    assert shares(task).tolist() == [[0.25, 0], [0.75, 1]]
    assert shares(painting(several=2)).tolist() == [[0.25], [0.75]]
    assert shares(painting(styles=())).shape == (0, 1)


def test_masks_with_other_regions_than_the_painting_are_refused() -> None:
    with pytest.raises(PictureError, match="the mask of style-1 has 2 regions and the painting 1"):
        check_masks(painting(styles=styles(halves())))
    with pytest.raises(PictureError, match="no style shows anything for region 2 of 2"):
        check_masks(
            painting(content_mask=halves(), styles=styles((halves() * [1, 0]).astype(np.float32)))
        )
    with pytest.raises(PictureError, match="the mask of the content is black all over"):
        final(painting(content_mask=0 * halves()))


def test_a_checkpoint_is_of_a_painting_with_these_masks() -> None:
    plain = painting(content_mask=halves(), styles=styles(None))
    others = (
        painting(styles=styles(None)),
        painting(content_mask=halves()[:, ::-1], styles=styles(None)),
        painting(content_mask=halves(), styles=styles(halves())),
    )
    prints = {fingerprint(one).tobytes() for one in (plain, *others)}
    assert len(prints) == 4
