"""Whether an RTP payload begins a picture that can be decoded without any before it.

Looks at payload headers only: VP8 (RFC 7741), VP9 (RFC 9628), H.264 (RFC 6184), AV1 (AV1 RTP specification 1.0.0).
Everything here takes any bytes and never raises: what is too short is no key frame.
"""

Payload = bytes | bytearray | memoryview

NAL_IDR, NAL_SEI, NAL_SPS, NAL_PPS, NAL_AUD = 5, 6, 7, 8, 9
STAP_A, FU_A = 24, 28


def is_keyframe_start(codec: str, payload: Payload) -> bool:
    """Whether this payload is the first of a key frame; False for a codec without key frames that we know.

    For H.264 the parameter sets before an IDR picture count as well as its first slice, so that one key frame may
    have several packets for which this holds.
    """
    if not payload:
        return False
    if codec == "H264":
        return _h264(payload)
    if codec == "VP8":
        return _vp8(payload)
    if codec == "VP9":
        return _vp9(payload)
    return codec == "AV1" and payload[0] & 0x88 == 0x08


def vp8_header_size(payload: Payload) -> int:
    """Bytes of the VP8 payload descriptor (RFC 7741 section 4.2); 0 when the payload ends within or right behind it."""
    size = 1
    if payload and payload[0] & 0x80:
        flags = payload[1] if len(payload) > 1 else 0
        size = 2
        if flags & 0x80:
            size += 2 if len(payload) > 2 and payload[2] & 0x80 else 1
        size += bool(flags & 0x40) + bool(flags & 0x30)
    return size if size < len(payload) else 0


def _vp8(payload: Payload) -> bool:
    # S = 1 and partition 0, then the frame tag's first bit: 0 is a key frame.
    if payload[0] & 0x17 != 0x10:
        return False
    size = vp8_header_size(payload)
    return size > 0 and payload[size] & 0x01 == 0


def vp9_spatial_layer(payload: Payload) -> int:
    """Spatial layer of a VP9 payload; 0 where it has no layer indices."""
    if not payload or not payload[0] & 0x20:
        return 0
    position = 1
    if payload[0] & 0x80:
        position += 2 if len(payload) > 1 and payload[1] & 0x80 else 1
    return (payload[position] >> 1) & 7 if position < len(payload) else 0


def _vp9(payload: Payload) -> bool:
    # No inter-picture prediction, start of a frame, lowest layer.
    return payload[0] & 0x48 == 0x08 and vp9_spatial_layer(payload) == 0


def _h264(payload: Payload) -> bool:
    kind = payload[0] & 0x1F
    if kind in (NAL_IDR, NAL_SPS):
        return True
    if kind == FU_A:
        return len(payload) > 1 and payload[1] & 0x80 != 0 and payload[1] & 0x1F in (NAL_IDR, NAL_SPS)
    if kind == STAP_A:
        position = 1
        while position + 2 < len(payload):
            if payload[position + 2] & 0x1F in (NAL_IDR, NAL_SPS):
                return True
            position += 2 + (payload[position] << 8 | payload[position + 1])
    return False
