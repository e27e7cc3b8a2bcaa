"""Which layer of a scalable stream a packet belongs to, and where it carries numbers that count pictures.

VP8 (RFC 7741) and VP9 (RFC 9628) say it in their payload descriptors; AV1 in the dependency descriptor, a header
extension (AV1 RTP specification 1.0.0, appendix A). Pure. What is too short or unknown has no layers; nothing raises.
"""

from collections.abc import Sequence
from typing import NamedTuple

from media.keyframes import Payload, is_keyframe_start


class Layers(NamedTuple):
    """Of one packet."""

    temporal: int = 0
    spatial: int = 0
    sync: bool = False
    """VP8: this frame leans on the lowest layer only. VP9: frames behind this one lean on none before it."""
    key: bool = False
    """The packet is the first of a key frame (AV1: of one that describes its layers anew)."""
    ends: bool = False
    """Last packet of this layer's frame."""
    picture: int = 0
    """Offset of the picture id in the payload; 0 where there is none."""
    wide: bool = False
    """15 bits instead of 7."""
    base: int = 0
    """Offset of TL0PICIDX in the payload; 0 where there is none."""


NONE = Layers()


def vp8(payload: Payload) -> Layers:
    """RFC 7741 section 4.2."""
    size = len(payload)
    if size < 2 or not payload[0] & 0x80:
        return Layers(key=is_keyframe_start("VP8", payload)) if size else NONE
    flags = payload[1]
    position, picture, base, temporal, wide, sync = 2, 0, 0, 0, False, False
    if flags & 0x80:
        picture, wide = position, size > position and payload[position] & 0x80 != 0
        position += 2 if wide else 1
    if flags & 0x40:
        base = position
        position += 1
    if flags & 0x30:
        if size > position and flags & 0x20:
            temporal, sync = payload[position] >> 6, payload[position] & 0x20 != 0
        position += 1
    if size <= position:
        return NONE
    key = payload[0] & 0x17 == 0x10 and payload[position] & 1 == 0
    return Layers(temporal, 0, sync, key, False, picture, wide, base)


def vp9(payload: Payload) -> Layers:
    """RFC 9628 section 4.2."""
    size = len(payload)
    if not size:
        return NONE
    first = payload[0]
    position, picture, base, temporal, spatial, wide, sync = 1, 0, 0, 0, 0, False, False
    if first & 0x80:
        picture, wide = position, size > position and payload[position] & 0x80 != 0
        position += 2 if wide else 1
    if first & 0x20 and size > position:
        layers = payload[position]
        temporal, sync, spatial = layers >> 5, layers & 0x10 != 0, layers >> 1 & 7
        if not first & 0x10:
            base = position + 1
            position += 1
        position += 1
    if size <= position:
        return NONE
    key = first & 0x48 == 0x08 and spatial == 0
    return Layers(temporal, spatial, sync, key, first & 0x04 != 0, picture, wide, base)


class DependencyReader:
    """Dependency descriptors of one stream: the templates come with a key frame and hold until the next."""

    def __init__(self) -> None:
        self._first = 0
        self._templates: Sequence[tuple[int, int]] = ()
        """Spatial and temporal layer of each template."""

    def read(self, descriptor: bytes) -> Layers:
        """The layers of the packet with this extension value."""
        if len(descriptor) < 3:
            return NONE
        ends, identifier = descriptor[0] & 0x40 != 0, descriptor[0] & 0x3F
        described = len(descriptor) > 4 and descriptor[3] & 0x80 != 0
        if described:
            self._describe(descriptor)
        index = identifier - self._first & 0x3F
        if index >= len(self._templates):
            return NONE
        spatial, temporal = self._templates[index]
        starts = descriptor[0] & 0x80 != 0
        return Layers(temporal, spatial, False, described and starts and spatial == 0, ends)

    def _describe(self, descriptor: bytes) -> None:
        """`template_layers` of a structure: for each template in two bits, what it adds to the one before."""
        value, bits = int.from_bytes(descriptor, "big"), len(descriptor) * 8
        position = 24 + 5
        first = value >> bits - position - 6 & 0x3F
        position += 6 + 5
        templates = [(0, 0)]
        while position + 2 <= bits and len(templates) < 64:
            step = value >> bits - position - 2 & 3
            position += 2
            spatial, temporal = templates[-1]
            if step == 3:
                self._first, self._templates = first, templates
                return
            templates.append(
                (spatial, temporal) if step == 0 else (spatial, temporal + 1) if step == 1 else (spatial + 1, 0)
            )
