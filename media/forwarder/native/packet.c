#include "packet.h"

#include <string.h>

enum { ONE_BYTE = 0xBEDE, TWO_BYTE = 0x1000, TWO_BYTE_MASK = 0xFFF0 };

int payload_range(const uint8_t *packet, size_t size, size_t *start, size_t *end)
{
    if (size < HEADER_BYTES || packet[0] >> 6 != 2)
        return 0;
    size_t first = HEADER_BYTES + 4 * (size_t)(packet[0] & 0x0F), last = size;
    if (packet[0] & 0x10) {
        if (first + 4 > size)
            return 0;
        first += 4 + 4 * (size_t)read16(packet + first + 2);
    }
    if (packet[0] & 0x20 && first < size) {
        size_t padding = packet[size - 1];
        if (padding < 1 || padding > size - first)
            return 0;
        last -= padding;
    }
    *start = first, *end = last;
    return first <= last;
}

/* --- header extensions ------------------------------------------------------------------------------------------- */

struct block {
    const uint8_t *at, *end;
    int two_bytes; /* 1 or 0, or -1 for a form that holds no elements */
};

struct element {
    uint8_t identifier, length;
    const uint8_t *value;
};

static int open_block(struct block *block, const uint8_t *packet, size_t size)
{
    size_t start = HEADER_BYTES + 4 * (size_t)(packet[0] & 0x0F);
    if (start + 4 > size)
        return 0;
    uint32_t profile = read16(packet + start);
    size_t length = 4 * (size_t)read16(packet + start + 2);
    if (start + 4 + length > size)
        return 0;
    block->at = packet + start + 4;
    block->end = block->at + length;
    block->two_bytes = profile == ONE_BYTE ? 0 : (profile & TWO_BYTE_MASK) == TWO_BYTE ? 1 : -1;
    return 1;
}

/* 1 = an element, 0 = no more, -1 = one reaches beyond its block. */
static int next_element(struct block *block, struct element *element)
{
    while (block->two_bytes >= 0 && block->at < block->end) {
        uint8_t head = *block->at++;
        if (!head)
            continue;
        if (block->two_bytes) {
            if (block->at >= block->end || block->at + 1 + *block->at > block->end)
                return -1;
            element->identifier = head;
            element->length = *block->at++;
        } else {
            if (head >> 4 == 15)
                return 0;
            element->identifier = head >> 4;
            element->length = (uint8_t)((head & 0x0F) + 1);
            if (block->at + element->length > block->end)
                return -1;
        }
        element->value = block->at;
        block->at += element->length;
        if (element->identifier)
            return 1;
    }
    return 0;
}

size_t extension(const uint8_t *packet, size_t size, uint8_t identifier, const uint8_t **value)
{
    struct block block;
    struct element element;
    int more;
    size_t found = 0;
    if (size < HEADER_BYTES || !(packet[0] & 0x10) || !open_block(&block, packet, size))
        return 0;
    while ((more = next_element(&block, &element)) > 0)
        if (element.identifier == identifier)
            found = element.length, *value = element.value;
    return more < 0 ? 0 : found;
}

/* As in the Python code, the one-byte form is read leniently and only the other one strictly. */
int transport_sequence(const uint8_t *packet, size_t size, uint8_t identifier)
{
    if (!(packet[0] & 0x10))
        return -1;
    size_t position = HEADER_BYTES + 4 * (size_t)(packet[0] & 0x0F);
    if (position + 4 > size)
        return -1;
    if (read16(packet + position) != ONE_BYTE) {
        const uint8_t *value;
        return extension(packet, size, identifier, &value) == 2 ? (int)read16(value) : -1;
    }
    size_t end = position + 4 + 4 * (size_t)read16(packet + position + 2);
    end = (end < size ? end : size) - 2;
    uint32_t wanted = (uint32_t)identifier << 4 | 1;
    for (position += 4; position < end;) {
        uint8_t head = packet[position];
        if (head == wanted)
            return (int)read16(packet + position + 1);
        position += head ? (size_t)(head & 0x0F) + 2 : 1;
    }
    return -1;
}

/* Writes an element in its form; gives where it ends. */
static uint8_t *put_element(uint8_t *at, int short_form, uint8_t identifier, const uint8_t *value, uint8_t length)
{
    if (short_form) {
        *at++ = (uint8_t)(identifier << 4 | (length - 1));
    } else {
        *at++ = identifier;
        *at++ = length;
    }
    memcpy(at, value, length);
    return at + length;
}

size_t renumber_extensions(const uint8_t *packet, size_t size, const uint8_t mapping[256], uint8_t transport,
                           uint8_t *out, size_t room)
{
    static const uint8_t none[2];
    size_t fixed = HEADER_BYTES + 4 * (size_t)(packet[0] & 0x0F);
    if (fixed > size)
        return 0;
    struct block block = {packet + fixed, packet + fixed, -1}, again;
    struct element element;
    int more, short_form = transport <= 14;
    size_t kept = transport != 0, values = transport ? 2 : 0;
    if (packet[0] & 0x10 && !open_block(&block, packet, size))
        return 0;
    again = block;
    while ((more = next_element(&block, &element)) > 0) {
        uint8_t identifier = mapping[element.identifier];
        if (!identifier)
            continue;
        kept++, values += element.length;
        if (identifier > 14 || element.length < 1 || element.length > 16)
            short_form = 0;
    }
    if (more < 0)
        return 0;
    const uint8_t *rest = again.end, *end = packet + size;
    size_t body = kept ? values + kept * (short_form ? 1 : 2) : 0;
    size_t padded = (body + 3) & ~(size_t)3;
    size_t whole = fixed + (kept ? 4 + padded : 0) + (size_t)(end - rest);
    if (whole > room)
        return 0;
    memcpy(out, packet, fixed);
    out[0] = kept ? packet[0] | 0x10 : packet[0] & (uint8_t)~0x10;
    uint8_t *at = out + fixed;
    if (kept) {
        write16(at, short_form ? ONE_BYTE : TWO_BYTE);
        write16(at + 2, (uint32_t)(padded / 4));
        at += 4;
        if (transport)
            at = put_element(at, short_form, transport, none, 2);
        while (next_element(&again, &element) > 0)
            if (mapping[element.identifier])
                at = put_element(at, short_form, mapping[element.identifier], element.value, element.length);
        memset(at, 0, padded - body);
        at += padded - body;
    }
    memcpy(at, rest, (size_t)(end - rest));
    return whole;
}

size_t transport_position(const uint8_t *packet, size_t size)
{
    size_t start = HEADER_BYTES + 4 * (size_t)(packet[0] & 0x0F);
    return start + (start < size && packet[start] == ONE_BYTE >> 8 ? 5 : 6);
}

/* --- key frames -------------------------------------------------------------------------------------------------- */

enum { NAL_IDR = 5, NAL_SPS = 7, STAP_A = 24, FU_A = 28 };

static int begins_picture(uint8_t header) { return (header & 0x1F) == NAL_IDR || (header & 0x1F) == NAL_SPS; }

static int h264_keyframe(const uint8_t *payload, size_t size)
{
    if (begins_picture(payload[0]))
        return 1;
    switch (payload[0] & 0x1F) {
    case FU_A:
        return size > 1 && payload[1] & 0x80 && begins_picture(payload[1]);
    case STAP_A:
        for (size_t position = 1; position + 2 < size; position += 2 + read16(payload + position))
            if (begins_picture(payload[position + 2]))
                return 1;
        return 0;
    default:
        return 0;
    }
}

static int vp8_keyframe(const uint8_t *payload, size_t size)
{
    size_t position = 1;
    if ((payload[0] & 0x17) != 0x10)
        return 0;
    if (payload[0] & 0x80) {
        uint8_t flags = size > 1 ? payload[1] : 0;
        position = 2;
        if (flags & 0x80)
            position += size > 2 && payload[2] & 0x80 ? 2 : 1;
        position += ((flags & 0x40) != 0) + ((flags & 0x30) != 0);
    }
    return position < size && !(payload[position] & 0x01);
}

static int vp9_spatial_layer(const uint8_t *payload, size_t size)
{
    size_t position = 1;
    if (!(payload[0] & 0x20))
        return 0;
    if (payload[0] & 0x80)
        position += size > 1 && payload[1] & 0x80 ? 2 : 1;
    return position < size ? payload[position] >> 1 & 7 : 0;
}

int is_keyframe_start(enum codec codec, const uint8_t *payload, size_t size)
{
    if (!size)
        return 0;
    switch (codec) {
    case CODEC_H264:
        return h264_keyframe(payload, size);
    case CODEC_VP8:
        return vp8_keyframe(payload, size);
    case CODEC_VP9:
        return (payload[0] & 0x48) == 0x08 && vp9_spatial_layer(payload, size) == 0;
    case CODEC_AV1:
        return (payload[0] & 0x88) == 0x08;
    default:
        return 0;
    }
}
