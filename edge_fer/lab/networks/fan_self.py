"""The Frame Attention Network with self-attention alone: Meng et al., 2019."""

from __future__ import annotations

from edge_fer.lab.networks.frame_attention import FrameAttentionNetwork


class FanSelf(FrameAttentionNetwork):
    """ResNet-18 and self-attention; see `FrameAttentionNetwork`."""

    PURPOSE = "the same without relation-attention, to measure what that brings; the runtime has no part for it"
    PUBLICATION = "Frame Attention Network with self-attention only (Meng et al., 2019)"
    RELATION = False
