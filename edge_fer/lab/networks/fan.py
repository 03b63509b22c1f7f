"""The Frame Attention Network with both attentions: Meng et al., 2019."""

from __future__ import annotations

from edge_fer.lab.networks.frame_attention import FrameAttentionNetwork


class Fan(FrameAttentionNetwork):
    """ResNet-18, self-attention and relation-attention; see `FrameAttentionNetwork`."""

    PURPOSE = "reads tracks of a face: says which frames count, and one label for all"
    PUBLICATION = "Frame Attention Network (Meng et al., 2019)"
    RELATION = True
