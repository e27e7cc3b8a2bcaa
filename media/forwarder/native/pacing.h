/* When the packets of one peer may leave: media/pacing.py in C, where it is explained. What waits is copied here, because
 * its place in a ring may be taken meanwhile.
 */
#ifndef LAMPROOM_PACING_H
#define LAMPROOM_PACING_H

#include "shaping.h"

enum priority { SOUND, REPAIR, PICTURE, PRIORITIES };

/* What waits: a packet that is still to be rewritten for its route, or (`plain`) a repair that is ready. */
struct waiting {
    struct route *route; /* NULL when it was dropped */
    struct queued packet;
    int32_t plain;
    uint32_t room; /* of this record with its bytes, which follow it */
};

struct pacer;

struct pacer *pacer_new(double rate_bps, double now);
void pacer_free(struct pacer *);
void pacer_rate(struct pacer *, double rate_bps);
int pacer_push(struct pacer *, enum priority, struct route *, const struct queued *, int plain);
/* What may leave now, or NULL; it holds until the next push. */
const struct waiting *pacer_pop(struct pacer *, double now);
/* When to ask again; infinity while nothing waits. */
double pacer_due(const struct pacer *);
void pacer_drop(struct pacer *, const struct route *);

#endif
