/* What one subscriber gets of a track whose encodings and layers it does not get all of: media/forwarder/shaping.py and
 * media/scalability.py in C, where everything is explained. Numbers in and out; allocates once, per shaped route.
 */
#ifndef LAMPROOM_SHAPING_H
#define LAMPROOM_SHAPING_H

#include "packet.h"

enum { ALL_LAYERS = 7, PATCHES = 3 };

/* A packet on its way to the routes: in its source's ring, or in scratch room. Patched bytes are written over the copy
 * that is sent. */
struct queued {
    int64_t number;
    const uint8_t *bytes;
    uint32_t size, timestamp;
    uint8_t marker, patches;
    uint8_t patch[PATCHES];
    uint32_t patch_at[PATCHES];
};

struct segment {
    int64_t source, first, shift, start, end, picture, base;
    uint32_t timestamp;
    int32_t temporal, spatial;
};

struct shaper;

struct shaper *shaper_new(enum codec codec, uint32_t clock_rate, int64_t source, int64_t first, uint8_t descriptor);
void shaper_free(struct shaper *);
void shaper_agree(struct shaper *, uint8_t descriptor);
void shaper_forget(struct shaper *);
void shaper_resume(struct shaper *, int64_t number, uint32_t timestamp, const uint8_t *packet, size_t size, double at);
void shaper_limit(struct shaper *, int32_t temporal, int32_t spatial);
int64_t shaper_sent(const struct shaper *);
uint32_t shaper_timestamp_shift(const struct shaper *);
/* `lag` may be NULL. */
int64_t shaper_ahead(const struct shaper *, uint32_t timestamp, const int64_t *lag, double now);
void shaper_enter(struct shaper *, int64_t source, int64_t number, uint32_t timestamp, const uint8_t *packet,
                  size_t size, const int64_t *lag, double now);
uint32_t shaper_shape(struct shaper *, const struct queued *prepared, uint32_t count, double now,
                      struct queued *shaped);
const struct segment *shaper_find(const struct shaper *, int64_t outgoing, int64_t *number);
struct queued shaper_again(struct shaper *, const struct segment *, const struct queued *);

#endif
