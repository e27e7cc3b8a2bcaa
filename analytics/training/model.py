"""The person net: a small fully convolutional network with one map a cell for each thing it says.

3×3 conv-BN-ReLU, down to 1/32 and back up to 1/8 with additions. In: n×3×144×256 RGB, 0 to 1. Out: n×9×18×32, see
`Heads`.
"""

from enum import IntEnum

import torch
from torch import Tensor, nn

from analytics.training.labels import CHANNELS


class Heads(IntEnum):
    """Output channels."""

    PERSON = 0
    HEAD = 1
    LOG_WIDTH = 2
    LOG_HEIGHT = 3
    POSTURE = 4
    """First of five logits, in the order of `figure.POSTURES`."""


def _block(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class PersonNet(nn.Module):
    """`width` 16 has 0.6 million parameters and takes about 2.5 ms a picture on one core."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = width
        self.to8 = nn.Sequential(
            _block(3, w, 2), _block(w, 2 * w, 2), _block(2 * w, 2 * w), _block(2 * w, 4 * w, 2), _block(4 * w, 4 * w)
        )
        self.to16 = nn.Sequential(_block(4 * w, 6 * w, 2), _block(6 * w, 6 * w), _block(6 * w, 6 * w))
        self.to32 = nn.Sequential(_block(6 * w, 8 * w, 2), _block(8 * w, 8 * w))
        self.back16 = nn.Conv2d(8 * w, 6 * w, 1)
        self.back8 = nn.Conv2d(6 * w, 4 * w, 1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.joined = _block(4 * w, 4 * w)
        self.heads = nn.Conv2d(4 * w, CHANNELS, 1)
        with torch.no_grad():
            bias = self.heads.bias
            assert bias is not None
            bias.zero_()
            bias[: Heads.LOG_WIDTH] = -3.0

    def forward(self, image: Tensor) -> Tensor:
        at8 = self.to8(image)
        at16 = self.to16(at8)
        at32 = self.to32(at16)
        # 18 rows at 1/8 become 9 and 5: one row of the 1/32 map too many comes back up.
        at16 = at16 + self.up(self.back16(at32))[:, :, : at16.shape[2], : at16.shape[3]]
        at8 = at8 + self.up(self.back8(at16))
        return self.heads(self.joined(at8))


def loss(
    out: Tensor, heat: Tensor, weight: Tensor, sizes: Tensor, posture: Tensor, near: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """CenterNet's focal loss on both maps, L1 on sizes and cross-entropy on posture near the centres.

    `heat` (n, 2, 18, 32) targets with 1 at centres · `weight` the same shape, 0 where nothing is asked · `sizes`
    (n, 2, 18, 32) · `posture` (n, 18, 32) long · `near` (n, 18, 32), 1 in the 3×3 around a centre."""
    maps = out[:, : Heads.LOG_WIDTH].float()
    positive = (heat > 0.999).float() * weight
    log_p, log_q = nn.functional.logsigmoid(maps), nn.functional.logsigmoid(-maps)
    p = maps.sigmoid()
    hit = -(log_p * (1 - p) ** 2) * positive
    miss = -(log_q * p**2 * (1 - heat) ** 4) * weight * (1 - positive)
    focal = (hit.sum() + miss.sum()) / positive.sum().clamp(min=1)
    count = near.sum().clamp(min=1)
    size = ((out[:, Heads.LOG_WIDTH : Heads.POSTURE].float() - sizes).abs().sum(1) * near).sum() / count
    cross = nn.functional.cross_entropy(out[:, Heads.POSTURE :].float(), posture, reduction="none")
    kind = (cross * near).sum() / count
    parts = {"focal": focal.item(), "size": size.item(), "posture": kind.item()}
    return focal + 0.5 * size + 0.7 * kind, parts
