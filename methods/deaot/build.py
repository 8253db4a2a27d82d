"""Builds AOT and DeAOT in every size from one table of numbers (the official ``configs/models``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import nn

from refseg.bench.errors import unknown_name
from refseg.methods.deaot.decoder import FpnDecoder
from refseg.methods.deaot.gpm import DualBranchGpm
from refseg.methods.deaot.layers import FrozenBatchNorm2d
from refseg.methods.deaot.lstt import LongShortTermTransformer
from refseg.methods.deaot.mobilenet import MobileNetV2, Stage
from refseg.methods.deaot.model import DeAot
from refseg.methods.deaot.propagation import PropagationStack
from refseg.methods.deaot.resnet import ResNet
from refseg.methods.deaot.swin import SwinTransformer

EncoderName = Literal["mobilenet_v2", "resnet50", "swin_b", "tiny"]

ENCODER_DIMS: dict[EncoderName, tuple[int, int, int, int]] = {
    "mobilenet_v2": (24, 32, 96, 1280),
    "resnet50": (256, 512, 1024, 1024),
    "swin_b": (128, 256, 512, 512),
    "tiny": (24, 32, 64, 128),
}
"""Channels of the encoders' maps, the finest first; the last is what is projected."""

MOBILENET_STAGES = (
    Stage(1, 16, 1),
    Stage(6, 24, 2, stride=2, ends_map=True),
    Stage(6, 32, 3, stride=2, ends_map=True),
    Stage(6, 64, 4, stride=2),
    Stage(6, 96, 3, ends_map=True),
    Stage(6, 160, 3, dilation=2),
    Stage(6, 320, 1, dilation=2, dilate_first=True),
)
"""MobileNetV2 held at stride 16: the stride of the 160-channel blocks became a dilation."""

TINY_STAGES = (
    Stage(1, 24, 1, ends_map=True),
    Stage(3, 32, 2, stride=2, ends_map=True),
    Stage(3, 64, 3, stride=2, ends_map=True),
)
"""Held at stride 8, and narrow where the map is large: there a CPU spends its time."""


@dataclass(frozen=True)
class DeAotConfig:
    """The numbers of an AOT or a DeAOT.

    Attributes:
        encoder: Backbone.
        propagation: DeAOT's gated propagation modules, or AOT's long short-term transformer.
        layers: Layers of it.
        dim: Their width.
        heads: Heads of LSTT's attention; GPM has one.
        ids: Objects that it tells apart at once.
        reach: Rows and columns that the short-term memory is read at most away from a token.
        stride: Pixels from one token to the next.
        align_corners: How frames, maps and logits lie on each other.
        long_term_gap: Frames between two in the long-term memory in the official evaluation; SAM-Track: 9999.
        dropout: Of channels after GPM's depthwise convolutions, in training.
        drop_path: Of residuals, in training.
    """

    encoder: EncoderName = "mobilenet_v2"
    propagation: Literal["gpm", "lstt"] = "gpm"
    layers: int = 1
    dim: int = 256
    heads: int = 8
    ids: int = 10
    reach: int = 7
    stride: int = 16
    align_corners: bool = True
    long_term_gap: int = 9999
    dropout: float = 0.1
    drop_path: float = 0.1


_large = partial(DeAotConfig, layers=3, long_term_gap=5)
_swin = partial(_large, encoder="swin_b", align_corners=False)

DEAOT_CONFIGS = {
    "deaott": DeAotConfig(),
    "deaots": DeAotConfig(layers=2),
    "deaotb": DeAotConfig(layers=3),
    "deaotl": _large(),
    "r50_deaotl": _large(encoder="resnet50"),
    "swinb_deaotl": _swin(),
    "aott": DeAotConfig(propagation="lstt"),
    "aots": DeAotConfig(propagation="lstt", layers=2),
    "aotb": DeAotConfig(propagation="lstt", layers=3),
    "aotl": _large(propagation="lstt"),
    "r50_aotl": _large(propagation="lstt", encoder="resnet50"),
    "swinb_aotl": _swin(propagation="lstt"),
    "deaot_tiny": DeAotConfig(
        encoder="tiny", layers=2, dim=64, reach=3, stride=8, align_corners=False, dropout=0.0, drop_path=0.0
    ),
}
"""``deaot_tiny`` is ours: for frames of about 128 pixels, with a token every 8; the others are the official ones."""


def build_encoder(name: EncoderName) -> nn.Module:
    """Build an encoder with random weights; those of the official models have frozen batch norms."""
    if name == "resnet50":
        return ResNet(blocks=(3, 4, 6), norm=FrozenBatchNorm2d)
    if name == "swin_b":
        return SwinTransformer(dim=128, depths=(2, 2, 18), heads=(4, 8, 16), window=7)
    if name == "mobilenet_v2":
        return MobileNetV2(
            stem_channels=32,
            stem_stride=2,
            stages=MOBILENET_STAGES,
            last_channels=1280,
            norm=FrozenBatchNorm2d,
        )
    return MobileNetV2(
        stem_channels=24,
        stem_stride=2,
        stages=TINY_STAGES,
        last_channels=128,
        norm=partial(nn.GroupNorm, 8),
    )


def build_propagation(config: DeAotConfig) -> PropagationStack:
    """Build the layers between encoder and decoder."""
    if config.propagation == "gpm":
        return DualBranchGpm(
            config.dim,
            layers=config.layers,
            reach=config.reach,
            dropout=config.dropout,
            drop_path=config.drop_path,
        )
    return LongShortTermTransformer(
        config.dim,
        layers=config.layers,
        heads=config.heads,
        reach=config.reach,
        drop_path=config.drop_path,
    )


def build_deaot(config: DeAotConfig) -> DeAot:
    """Build a network with random weights; its names are those of the official checkpoints."""
    *map_dims, last_dim = ENCODER_DIMS[config.encoder]
    dim, gated = config.dim, config.propagation == "gpm"
    aligned = int(config.align_corners)
    model = DeAot(
        encoder=build_encoder(config.encoder),
        encoder_projector=nn.Conv2d(last_dim, dim, 1),
        propagation=build_propagation(config),
        decoder=FpnDecoder(
            in_dim=2 * dim if gated else (config.layers + 1) * dim,
            dim=dim,
            out_dim=config.ids + 1,
            map_dims=map_dims,
            align_corners=config.align_corners,
        ),
        patch_wise_id_bank=nn.Conv2d(
            config.ids + 1,
            dim,
            config.stride + aligned,
            stride=config.stride,
            padding=aligned * config.stride // 2,
        ),
        id_norm=nn.LayerNorm(dim) if gated else None,
    )
    if model.device.type != "meta":
        _initialise(model)
    return model.eval()


def config_of(name: str) -> DeAotConfig:
    """Return a named configuration.

    Raises:
        InputError: There is none of that name; the nearest are named.
    """
    if name not in DEAOT_CONFIGS:
        raise unknown_name("DeAOT", name, DEAOT_CONFIGS)
    return DEAOT_CONFIGS[name]


def _initialise(model: DeAot) -> None:
    """Draw the weights as the official code does before it trains."""
    for module in model.encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    for part in (model.encoder_projector, model.LSTT.layers, model.decoder):
        for parameter in part.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
    bank = model.patch_wise_id_bank
    nn.init.orthogonal_(bank.weight, gain=bank.kernel_size[0] ** -2)
