/* RTP packets in wire form, read and rewritten without trusting a byte of them: RFC 3550, RFC 8285, RFC 4588.
 *
 * Each function is the one of the same name in media/rtp.py or media/keyframes.py; tests hold them equal. Lengths are
 * checked before anything is read. Nothing here keeps state or allocates.
 */
#ifndef LAMPROOM_PACKET_H
#define LAMPROOM_PACKET_H

#include <stddef.h>
#include <stdint.h>

enum { HEADER_BYTES = 12 };
enum codec { CODEC_OTHER, CODEC_VP8, CODEC_VP9, CODEC_H264, CODEC_AV1 };

static inline uint32_t read16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }
static inline uint32_t read32(const uint8_t *at) { return read16(at) << 16 | read16(at + 2); }
static inline void write16(uint8_t *at, uint32_t value) { at[0] = (uint8_t)(value >> 8), at[1] = (uint8_t)value; }
static inline void write32(uint8_t *at, uint32_t value) { write16(at, value >> 16), write16(at + 2, value); }

/* Where the payload begins and ends; 0 where lengths inside the packet do not fit it. */
int payload_range(const uint8_t *packet, size_t size, size_t *start, size_t *end);

/* The transport-wide sequence number in the extension of this id, or -1. */
int transport_sequence(const uint8_t *packet, size_t size, uint8_t identifier);

/* The size and place of the value of one header extension; 0 where there is none or the block is broken. */
size_t extension(const uint8_t *packet, size_t size, uint8_t identifier, const uint8_t **value);

/* The packet with the extensions for which `mapping` has a new id, and no others, in `out` of `room` bytes; in front of
 * them, with `transport` as id, room for a transport-wide sequence number. Gives the new size, or 0 where the extension
 * block is broken or there is no room. */
size_t renumber_extensions(const uint8_t *packet, size_t size, const uint8_t mapping[256], uint8_t transport,
                           uint8_t *out, size_t room);

/* Where that room is. */
size_t transport_position(const uint8_t *packet, size_t size);

/* Whether this payload is the first of a key frame. */
int is_keyframe_start(enum codec codec, const uint8_t *payload, size_t size);

#endif
