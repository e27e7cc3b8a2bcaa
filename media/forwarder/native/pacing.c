#include "pacing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double BURST_S = 0.01, LONGEST_S = 0.5;

/* Records behind each other; what was taken is given up when the buffer is empty or needs room. */
struct queue {
    uint8_t *bytes;
    size_t head, tail, room;
};

struct pacer {
    double rate_bps, free_at;
    uint64_t waiting_bytes;
    struct queue queues[PRIORITIES];
};

struct pacer *pacer_new(double rate_bps, double now)
{
    struct pacer *pacer = calloc(1, sizeof *pacer);
    if (pacer)
        pacer->rate_bps = rate_bps, pacer->free_at = now;
    return pacer;
}

void pacer_free(struct pacer *pacer)
{
    for (int each = 0; pacer && each < PRIORITIES; each++)
        free(pacer->queues[each].bytes);
    free(pacer);
}

void pacer_rate(struct pacer *pacer, double rate_bps) { pacer->rate_bps = rate_bps; }

static int make_room(struct queue *queue, size_t wanted)
{
    if (queue->head == queue->tail)
        queue->head = queue->tail = 0;
    if (queue->tail + wanted <= queue->room)
        return 1;
    size_t used = queue->tail - queue->head;
    if (queue->head >= queue->room / 2 && used + wanted <= queue->room) {
        memmove(queue->bytes, queue->bytes + queue->head, used);
    } else {
        size_t room = queue->room ? queue->room * 2 : 16384;
        while (room < used + wanted)
            room *= 2;
        uint8_t *grown = malloc(room);
        if (!grown)
            return 0;
        if (used)
            memcpy(grown, queue->bytes + queue->head, used);
        free(queue->bytes);
        queue->bytes = grown, queue->room = room;
    }
    queue->head = 0, queue->tail = used;
    return 1;
}

int pacer_push(struct pacer *pacer, enum priority priority, struct route *route, const struct queued *packet,
               int plain)
{
    struct queue *queue = &pacer->queues[priority];
    size_t room = (sizeof(struct waiting) + packet->size + 15) & ~(size_t)15;
    if (!make_room(queue, room))
        return 0;
    struct waiting *waiting = (struct waiting *)(void *)(queue->bytes + queue->tail);
    *waiting = (struct waiting){.route = route, .packet = *packet, .plain = plain, .room = (uint32_t)room};
    memcpy(waiting + 1, packet->bytes, packet->size);
    queue->tail += room;
    pacer->waiting_bytes += packet->size;
    return 1;
}

/* What was dropped does not stand in front. */
static void skip_dropped(struct queue *queue)
{
    while (queue->head < queue->tail) {
        const struct waiting *waiting = (const struct waiting *)(const void *)(queue->bytes + queue->head);
        if (waiting->route)
            return;
        queue->head += waiting->room;
    }
}

const struct waiting *pacer_pop(struct pacer *pacer, double now)
{
    if (pacer->free_at > now + BURST_S)
        return NULL;
    for (int each = 0; each < PRIORITIES; each++) {
        struct queue *queue = &pacer->queues[each];
        if (queue->head == queue->tail)
            continue;
        struct waiting *waiting = (struct waiting *)(void *)(queue->bytes + queue->head);
        double pushed = (double)(pacer->waiting_bytes * 8) / LONGEST_S;
        double rate = pacer->rate_bps > pushed ? pacer->rate_bps : pushed;
        queue->head += waiting->room;
        skip_dropped(queue);
        pacer->waiting_bytes -= waiting->packet.size;
        pacer->free_at = (pacer->free_at > now ? pacer->free_at : now) + waiting->packet.size * 8 / rate;
        waiting->packet.bytes = (const uint8_t *)(waiting + 1);
        return waiting;
    }
    return NULL;
}

double pacer_due(const struct pacer *pacer)
{
    for (int each = 0; each < PRIORITIES; each++)
        if (pacer->queues[each].head != pacer->queues[each].tail)
            return pacer->free_at - BURST_S;
    return INFINITY;
}

void pacer_drop(struct pacer *pacer, const struct route *route)
{
    for (int each = 0; each < PRIORITIES; each++) {
        for (size_t at = pacer->queues[each].head; at < pacer->queues[each].tail;) {
            struct waiting *waiting = (struct waiting *)(void *)(pacer->queues[each].bytes + at);
            if (waiting->route == route) {
                waiting->route = NULL;
                pacer->waiting_bytes -= waiting->packet.size;
            }
            at += waiting->room;
        }
        skip_dropped(&pacer->queues[each]);
    }
}
