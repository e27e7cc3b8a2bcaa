#include "shaping.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SEGMENTS = 256, HEAD = 16, TEMPLATES = 64, NEWEST = 2112 };
static const double MAX_STRAY_S = 3.0, LATEST_S = 1.5;
static const int64_t LATE_PER_S = 100;
static const int64_t OPEN = (int64_t)1 << 62;
static const uint8_t EMPTY[13] = {0xA0, [12] = 1}; /* a packet of padding alone */

struct layers {
    int temporal, spatial, sync, key, ends, wide;
    uint32_t picture, base; /* offsets in the payload; 0 = none */
};

struct shaper {
    enum codec codec;
    uint32_t clock_rate, timestamp;
    uint8_t descriptor;
    int first_template, template_count;
    uint8_t spatial_of[TEMPLATES], temporal_of[TEMPLATES];
    struct segment segments[MAX_SEGMENTS + 1];
    uint32_t count;
    int64_t floor, next, frame, left_out;
    double at;
    int has_at, limited, ended;
    int64_t late;
    int32_t wanted_temporal, wanted_spatial;
    uint32_t newest_size; /* of the newest packet, as far as layers are told in it */
    uint8_t newest[NEWEST];
};

static struct segment *current_of(struct shaper *shaper) { return &shaper->segments[shaper->count - 1]; }
static int64_t signed_of(int64_t difference) { return (int32_t)(uint32_t)difference; }

static size_t payload_of(const uint8_t *packet)
{
    size_t start = HEADER_BYTES + 4 * (size_t)(packet[0] & 0x0F);
    if (packet[0] & 0x10)
        start += 4 + 4 * (size_t)read16(packet + start + 2);
    return start;
}

/* --- layers (media.scalability) ---------------------------------------------------------------------------------- */

static struct layers vp8_layers(const uint8_t *payload, size_t size)
{
    struct layers none = {0}, layers = {0};
    if (size < 2 || !(payload[0] & 0x80)) {
        layers.key = is_keyframe_start(CODEC_VP8, payload, size);
        return layers;
    }
    uint8_t flags = payload[1];
    size_t position = 2;
    if (flags & 0x80) {
        layers.picture = (uint32_t)position;
        layers.wide = size > position && payload[position] & 0x80;
        position += layers.wide ? 2 : 1;
    }
    if (flags & 0x40)
        layers.base = (uint32_t)position++;
    if (flags & 0x30) {
        if (size > position && flags & 0x20) {
            layers.temporal = payload[position] >> 6;
            layers.sync = (payload[position] & 0x20) != 0;
        }
        position++;
    }
    if (size <= position)
        return none;
    layers.key = (payload[0] & 0x17) == 0x10 && !(payload[position] & 1);
    return layers;
}

static struct layers vp9_layers(const uint8_t *payload, size_t size)
{
    struct layers none = {0}, layers = {0};
    if (!size)
        return none;
    uint8_t first = payload[0];
    size_t position = 1;
    if (first & 0x80) {
        layers.picture = (uint32_t)position;
        layers.wide = size > position && payload[position] & 0x80;
        position += layers.wide ? 2 : 1;
    }
    if (first & 0x20 && size > position) {
        uint8_t told = payload[position];
        layers.temporal = told >> 5;
        layers.sync = (told & 0x10) != 0;
        layers.spatial = told >> 1 & 7;
        if (!(first & 0x10))
            layers.base = (uint32_t)++position;
        position++;
    }
    if (size <= position)
        return none;
    layers.key = (first & 0x48) == 0x08 && layers.spatial == 0;
    layers.ends = (first & 0x04) != 0;
    return layers;
}

static uint32_t bits_at(const uint8_t *bytes, size_t position, uint32_t count)
{
    uint32_t value = 0;
    for (uint32_t index = 0; index < count; index++, position++)
        value = value << 1 | (bytes[position / 8] >> (7 - position % 8) & 1);
    return value;
}

static void describe(struct shaper *shaper, const uint8_t *descriptor, size_t size)
{
    uint8_t spatial[TEMPLATES] = {0}, temporal[TEMPLATES] = {0};
    size_t position = 24 + 5 + 6 + 5;
    for (int count = 1; position + 2 <= size * 8 && count < TEMPLATES; count++) {
        uint32_t step = bits_at(descriptor, position, 2);
        position += 2;
        if (step == 3) {
            shaper->first_template = (int)bits_at(descriptor, 24 + 5, 6);
            shaper->template_count = count;
            memcpy(shaper->spatial_of, spatial, sizeof spatial);
            memcpy(shaper->temporal_of, temporal, sizeof temporal);
            return;
        }
        spatial[count] = (uint8_t)(spatial[count - 1] + (step == 2));
        temporal[count] = step == 2 ? 0 : (uint8_t)(temporal[count - 1] + (step == 1));
    }
}

static struct layers av1_layers(struct shaper *shaper, const uint8_t *packet, size_t packet_size)
{
    struct layers layers = {0};
    const uint8_t *descriptor;
    size_t size = extension(packet, packet_size, shaper->descriptor, &descriptor);
    if (size < 3)
        return layers;
    int described = size > 4 && descriptor[3] & 0x80;
    if (described)
        describe(shaper, descriptor, size);
    int index = ((descriptor[0] & 0x3F) - shaper->first_template) & 0x3F;
    if (index >= shaper->template_count)
        return layers;
    layers.spatial = shaper->spatial_of[index];
    layers.temporal = shaper->temporal_of[index];
    layers.key = described && descriptor[0] & 0x80 && layers.spatial == 0;
    layers.ends = (descriptor[0] & 0x40) != 0;
    return layers;
}

static struct layers layers_of(struct shaper *shaper, const uint8_t *packet, size_t size)
{
    struct layers none = {0};
    size_t start = payload_of(packet);
    if (start > size)
        return none;
    size_t head = size - start < HEAD ? size - start : HEAD;
    if (shaper->codec == CODEC_VP8)
        return vp8_layers(packet + start, head);
    if (shaper->codec == CODEC_VP9)
        return vp9_layers(packet + start, head);
    return shaper->descriptor ? av1_layers(shaper, packet, size) : none;
}

static int64_t picture_of(const uint8_t *packet, const struct layers *layers)
{
    const uint8_t *at = packet + payload_of(packet) + layers->picture;
    return layers->wide ? (int64_t)(at[0] & 0x7F) << 8 | at[1] : at[0] & 0x7F;
}

static void add_patch(struct queued *packet, size_t at, int64_t value)
{
    packet->patch_at[packet->patches] = (uint32_t)at;
    packet->patch[packet->patches++] = (uint8_t)value;
}

static void rewrite(const struct segment *segment, const struct layers *layers, struct queued *packet)
{
    size_t start = payload_of(packet->bytes);
    if (segment->picture && layers->picture) {
        int64_t value = picture_of(packet->bytes, layers) + segment->picture;
        if (layers->wide) {
            add_patch(packet, start + layers->picture, 0x80 | (value >> 8 & 0x7F));
            add_patch(packet, start + layers->picture + 1, value & 0xFF);
        } else {
            add_patch(packet, start + layers->picture, value & 0x7F);
        }
    }
    if (segment->base && layers->base)
        add_patch(packet, start + layers->base, packet->bytes[start + layers->base] + segment->base);
}

/* --- segments ---------------------------------------------------------------------------------------------------- */

static void begin_segment(struct shaper *shaper, struct segment segment)
{
    segment.start = segment.first + segment.shift;
    segment.end = OPEN;
    shaper->segments[shaper->count++] = segment;
    if (shaper->count > MAX_SEGMENTS) {
        uint32_t gone = MAX_SEGMENTS / 4;
        shaper->count -= gone;
        memmove(shaper->segments, shaper->segments + gone, shaper->count * sizeof *shaper->segments);
        if (shaper->floor < shaper->segments[0].start)
            shaper->floor = shaper->segments[0].start;
    }
}

/* The current source goes on with other constants; a segment of nothing makes room. */
static void split(struct shaper *shaper, int64_t first, int64_t shift, int64_t picture, int32_t temporal,
                  int32_t spatial)
{
    struct segment *current = current_of(shaper), next = *current;
    if (current->start == first + shift)
        shaper->count--;
    else if (current->end > first)
        current->end = first;
    next.first = first, next.shift = shift, next.picture = picture;
    next.temporal = temporal, next.spatial = spatial;
    begin_segment(shaper, next);
}

struct shaper *shaper_new(enum codec codec, uint32_t clock_rate, int64_t source, int64_t first, uint8_t descriptor)
{
    struct shaper *shaper = calloc(1, sizeof *shaper);
    if (!shaper)
        return NULL;
    shaper->codec = codec, shaper->clock_rate = clock_rate, shaper->descriptor = descriptor;
    shaper->floor = shaper->next = first;
    shaper->frame = shaper->left_out = -1;
    shaper->wanted_temporal = shaper->wanted_spatial = ALL_LAYERS;
    begin_segment(shaper, (struct segment){.source = source, .first = first, .temporal = ALL_LAYERS,
                                           .spatial = ALL_LAYERS});
    return shaper;
}

void shaper_free(struct shaper *shaper) { free(shaper); }

int64_t shaper_sent(const struct shaper *shaper)
{
    return shaper->next + shaper->segments[shaper->count - 1].shift - 1;
}

uint32_t shaper_timestamp_shift(const struct shaper *shaper) { return shaper->segments[shaper->count - 1].timestamp; }

/* Another agreement: nothing that was sent so far is sent again. */
void shaper_agree(struct shaper *shaper, uint8_t descriptor)
{
    shaper->descriptor = descriptor;
    shaper->floor = shaper_sent(shaper) + 1;
}

void shaper_forget(struct shaper *shaper) { shaper_agree(shaper, shaper->descriptor); }

void shaper_limit(struct shaper *shaper, int32_t temporal, int32_t spatial)
{
    shaper->wanted_temporal = temporal, shaper->wanted_spatial = spatial;
    shaper->limited = 1;
}

static void remember(struct shaper *shaper, const uint8_t *packet, size_t size)
{
    size_t known = payload_of(packet) + HEAD;
    shaper->newest_size = (uint32_t)(size < known ? size : known);
    memcpy(shaper->newest, packet, shaper->newest_size);
}

void shaper_resume(struct shaper *shaper, int64_t number, uint32_t timestamp, const uint8_t *packet, size_t size,
                   double at)
{
    shaper->next = number + 1;
    shaper->timestamp = timestamp, shaper->frame = timestamp;
    shaper->at = at, shaper->has_at = 1;
    remember(shaper, packet, size);
}

/* --- another source ---------------------------------------------------------------------------------------------- */

static int64_t mapping_of(const struct shaper *shaper, uint32_t timestamp, const int64_t *lag, double now)
{
    const struct segment *current = &shaper->segments[shaper->count - 1];
    if (!shaper->has_at)
        return current->timestamp;
    int64_t by_arrival =
        (int64_t)shaper->timestamp + (int64_t)((now - shaper->at) * shaper->clock_rate) - (int64_t)timestamp;
    if (!lag)
        return by_arrival;
    int64_t by_report = (int64_t)current->timestamp - *lag;
    int64_t stray = llabs(signed_of(by_report - by_arrival));
    return (double)stray <= MAX_STRAY_S * shaper->clock_rate ? by_report : by_arrival;
}

int64_t shaper_ahead(const struct shaper *shaper, uint32_t timestamp, const int64_t *lag, double now)
{
    return signed_of((int64_t)timestamp + mapping_of(shaper, timestamp, lag, now) - (int64_t)shaper->timestamp);
}

/* What to add to the picture ids and TL0PICIDX of a source that begins with this packet. */
static void count_on(struct shaper *shaper, const uint8_t *packet, size_t size, struct segment *segment)
{
    struct layers before = {0}, first;
    if (shaper->newest_size)
        before = layers_of(shaper, shaper->newest, shaper->newest_size);
    first = layers_of(shaper, packet, size);
    segment->picture = segment->base = 0;
    if (before.picture && first.picture)
        segment->picture = picture_of(shaper->newest, &before) + 1 - picture_of(packet, &first);
    if (before.base && first.base)
        segment->base = (int64_t)shaper->newest[payload_of(shaper->newest) + before.base] + 1 -
                        packet[payload_of(packet) + first.base];
}

void shaper_enter(struct shaper *shaper, int64_t source, int64_t number, uint32_t timestamp, const uint8_t *packet,
                  size_t size, const int64_t *lag, double now)
{
    struct segment next = {.source = source, .first = number, .temporal = shaper->wanted_temporal,
                           .spatial = shaper->wanted_spatial};
    int64_t shift = mapping_of(shaper, timestamp, lag, now);
    shaper->late = 0;
    if (shaper->has_at) {
        int64_t late = 1 - signed_of((int64_t)timestamp + shift - (int64_t)shaper->timestamp);
        shift += late > 0 ? late : 0;
        int worth = late > (int64_t)shaper->clock_rate / LATE_PER_S && (double)late <= shaper->clock_rate * LATEST_S;
        shaper->late = worth ? late : 0;
    }
    count_on(shaper, packet, size, &next);
    current_of(shaper)->end = shaper->next;
    next.shift = shaper_sent(shaper) + 1 - number;
    next.timestamp = (uint32_t)shift;
    begin_segment(shaper, next);
    shaper->next = number;
    shaper->frame = shaper->left_out = -1;
    shaper->ended = 0;
}

/* --- packets ------------------------------------------------------------------------------------------------------ */

/* The segment of this packet, with the limits as they are from its frame on. */
static const struct segment *follow(struct shaper *shaper, int64_t number, uint32_t timestamp,
                                    const struct layers *layers)
{
    struct segment *current = current_of(shaper);
    int32_t wanted = shaper->wanted_temporal, temporal = current->temporal;
    int32_t spatial = current->spatial < shaper->wanted_spatial ? current->spatial : shaper->wanted_spatial;
    if ((int64_t)timestamp == shaper->frame)
        return current;
    if (layers->key)
        temporal = wanted, spatial = shaper->wanted_spatial;
    else if (wanted <= temporal)
        temporal = wanted;
    else if (layers->sync && shaper->codec == CODEC_VP8 && layers->temporal <= wanted)
        temporal = layers->temporal > temporal ? layers->temporal : temporal;
    else if (layers->sync && shaper->codec == CODEC_VP9 && layers->temporal <= temporal)
        temporal = wanted;
    if (temporal != current->temporal || spatial != current->spatial) {
        split(shaper, number, current->shift, current->picture, temporal, spatial);
        shaper->limited = temporal != ALL_LAYERS || spatial != ALL_LAYERS || wanted != temporal ||
                          shaper->wanted_spatial != spatial;
    }
    return current_of(shaper);
}

/* The picture that begins here is shown as soon as it should be, or right behind the one before. */
static void catch_up(struct shaper *shaper, int64_t number, uint32_t timestamp)
{
    const struct segment current = *current_of(shaper);
    int64_t gained = signed_of((int64_t)timestamp + current.timestamp - shaper->timestamp) - 1;
    gained = gained < shaper->late ? gained : shaper->late;
    if (gained <= 0)
        return;
    shaper->late -= gained;
    split(shaper, number, current.shift, current.picture, current.temporal, current.spatial);
    current_of(shaper)->timestamp = current.timestamp - (uint32_t)gained;
}

static void leave_out(struct shaper *shaper, int64_t number, uint32_t timestamp, double now)
{
    struct segment *current = current_of(shaper);
    shaper->timestamp = timestamp + current->timestamp;
    shaper->at = now, shaper->has_at = 1;
    int64_t picture = current->picture - (shaper->codec == CODEC_VP8 && (int64_t)timestamp != shaper->left_out);
    shaper->next = number + 1;
    shaper->frame = shaper->left_out = timestamp;
    current->end = number;
    split(shaper, number + 1, current->shift - 1, picture, current->temporal, current->spatial);
}

/* Where a late packet of the current source belongs; NULL for what was left out or is from too long ago. */
static const struct segment *segment_of(const struct shaper *shaper, int64_t number)
{
    int64_t source = shaper->segments[shaper->count - 1].source;
    for (uint32_t index = shaper->count; index-- > 0;) {
        const struct segment *segment = &shaper->segments[index];
        if (segment->source == source && segment->first <= number)
            return number < segment->end && number + segment->shift >= shaper->floor ? segment : NULL;
    }
    return NULL;
}

uint32_t shaper_shape(struct shaper *shaper, const struct queued *prepared, uint32_t count, double now,
                      struct queued *shaped)
{
    uint32_t done = 0;
    for (uint32_t index = 0; index < count; index++) {
        struct queued packet = prepared[index];
        if (packet.number < shaper->next) {
            const struct segment *segment = segment_of(shaper, packet.number);
            if (segment)
                shaped[done++] = shaper_again(shaper, segment, &packet);
            continue;
        }
        if (shaper->late && shaper->ended && packet.number == shaper->next &&
            (int64_t)packet.timestamp != shaper->frame)
            catch_up(shaper, packet.number, packet.timestamp);
        const struct segment *segment = current_of(shaper);
        if (shaper->limited || segment->picture || segment->base) {
            struct layers layers = layers_of(shaper, packet.bytes, packet.size);
            if (shaper->limited) {
                segment = follow(shaper, packet.number, packet.timestamp, &layers);
                if (layers.temporal > segment->temporal || layers.spatial > segment->spatial) {
                    leave_out(shaper, packet.number, packet.timestamp, now);
                    continue;
                }
            }
            rewrite(segment, &layers, &packet);
            if (layers.ends && layers.spatial == segment->spatial)
                packet.marker = 0x80;
        }
        shaper->next = packet.number + 1;
        shaper->frame = packet.timestamp;
        shaper->timestamp = packet.timestamp + segment->timestamp;
        shaper->at = now, shaper->has_at = 1;
        shaper->ended = packet.marker != 0;
        remember(shaper, packet.bytes, packet.size);
        for (uint32_t patch = 0; patch < packet.patches; patch++)
            shaper->newest[packet.patch_at[patch]] = packet.patch[patch];
        packet.number += segment->shift;
        packet.timestamp = shaper->timestamp;
        shaped[done++] = packet;
    }
    return done;
}

const struct segment *shaper_find(const struct shaper *shaper, int64_t outgoing, int64_t *number)
{
    if (outgoing < shaper->floor || outgoing > shaper_sent(shaper))
        return NULL;
    for (uint32_t index = shaper->count; index-- > 0;) {
        const struct segment *segment = &shaper->segments[index];
        if (segment->start > outgoing)
            continue;
        *number = outgoing - segment->shift;
        return segment->first <= *number && *number < segment->end ? segment : NULL;
    }
    return NULL;
}

struct queued shaper_again(struct shaper *shaper, const struct segment *segment, const struct queued *found)
{
    struct queued packet = *found;
    if (segment->picture || segment->base || segment->temporal < ALL_LAYERS || segment->spatial < ALL_LAYERS) {
        struct layers layers = layers_of(shaper, packet.bytes, packet.size);
        if (layers.temporal > segment->temporal || layers.spatial > segment->spatial) {
            packet.bytes = EMPTY, packet.size = sizeof EMPTY, packet.marker = 0;
        } else {
            rewrite(segment, &layers, &packet);
            if (layers.ends && layers.spatial == segment->spatial)
                packet.marker = 0x80;
        }
    }
    packet.number += segment->shift;
    packet.timestamp += segment->timestamp;
    return packet;
}
