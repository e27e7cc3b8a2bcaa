/* Powers are taken by pow() as Python takes them, and sums in the same order: a test holds both equal to the last bit. */
#include "estimate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "packet.h"

enum {
    REFERENCE_TICKS = 256,
    MAX_ACKED = 8192,
    MAX_HISTORY = 16384,
    NEWEST = 8,
    OVERHEAD_BYTES = 44,
    WINDOW = 20,
    MAX_DELTAS = 60,
    LOSS_PACKETS = 60,
    LOSS_PACKETS_STANDING = 20,
    PROBE_PACKETS = 4,
};
static const double START_BPS = 1500000.0, LEAST_BPS = 50000.0, MOST_BPS = 50000000.0, HISTORY_S = 2.0,
                    ACKED_WINDOW_S = 0.5, CLOCK_BACK_S = 1.0, DECREASE = 0.85, GROWTH_PER_S = 1.08, LOSS_LOW = 0.02,
                    LOSS_HIGH = 0.10, LOSS_HEAVY = 0.18, LOSS_SHARE = 0.25, NOTICED_S = 0.025,
                    LONG_S = 0.15, STANDING_S = 0.08, TICKS_PER_S = 4000.0, REPORTS_PER_S = 100.0,
                    REPORTS_AHEAD = 20.0;
static const double GROUP_S = 0.005, SMOOTHING = 0.9, GAIN = 4.0, OVERUSE_MS = 10.0, FIRST_THRESHOLD = 12.5,
                    LEAST_THRESHOLD = 6.0, MOST_THRESHOLD = 600.0, UP = 0.0087, DOWN = 0.039, OUTLIER_MS = 15.0;

/* --- the trend of the queue (media.trendline) ------------------------------------------------------------------------ */

enum usage { NORMAL, OVER, UNDER };
struct sent_group {
    double first_sent, sent, arrived;
    int there;
};
struct trendline {
    enum usage usage;
    struct sent_group group, before;
    double points[WINDOW][2];
    uint32_t point_count, first_point;
    double threshold, sum_ms, smoothed_ms, first_arrival, trend, over_ms, adapted_at;
    int over_count, deltas, adapted;
};

static void trend_forget(struct trendline *line)
{
    line->point_count = line->first_point = 0;
    line->sum_ms = line->smoothed_ms = line->trend = 0.0;
    line->deltas = 0;
    line->over_ms = -1.0, line->over_count = 0;
    line->group.there = line->before.there = 0;
    line->usage = NORMAL;
}

static double slope(const struct trendline *line)
{
    double mean_x = 0, mean_y = 0, above = 0, below = 0;
    for (uint32_t index = 0; index < WINDOW; index++) {
        const double *point = line->points[(line->first_point + index) % WINDOW];
        mean_x += point[0], mean_y += point[1];
    }
    mean_x /= WINDOW, mean_y /= WINDOW;
    for (uint32_t index = 0; index < WINDOW; index++) {
        const double *point = line->points[(line->first_point + index) % WINDOW];
        double x = point[0] - mean_x;
        above += x * (point[1] - mean_y);
        below += x * x;
    }
    return below != 0 ? above / below : line->trend;
}

static void adapt(struct trendline *line, double modified, double now)
{
    double elapsed = line->adapted ? fmin((now - line->adapted_at) * 1000, 100.0) : 0.0;
    line->adapted = 1, line->adapted_at = now;
    if (fabs(modified) > line->threshold + OUTLIER_MS)
        return;
    double pace = fabs(modified) < line->threshold ? DOWN : UP;
    line->threshold += pace * (fabs(modified) - line->threshold) * elapsed;
    line->threshold = fmin(fmax(line->threshold, LEAST_THRESHOLD), MOST_THRESHOLD);
}

static void detect(struct trendline *line, double trend, double sent_ms, double now)
{
    double modified = (line->deltas < MAX_DELTAS ? line->deltas : MAX_DELTAS) * trend * GAIN;
    if (modified > line->threshold) {
        line->over_ms = line->over_ms < 0 ? sent_ms / 2 : line->over_ms + sent_ms;
        line->over_count++;
        if (line->over_ms > OVERUSE_MS && line->over_count > 1 && trend >= line->trend) {
            line->over_ms = 0.0, line->over_count = 0;
            line->usage = OVER;
        }
    } else {
        line->over_ms = -1.0, line->over_count = 0;
        line->usage = modified < -line->threshold ? UNDER : NORMAL;
    }
    line->trend = trend;
    adapt(line, modified, now);
}

static void trend_delta(struct trendline *line, const struct sent_group *before, const struct sent_group *group)
{
    double sent_ms = (group->sent - before->sent) * 1000, arrived_ms = (group->arrived - before->arrived) * 1000;
    if (arrived_ms < 0 || arrived_ms > 3000) {
        trend_forget(line); /* a clock that jumped, or a long silence */
        return;
    }
    if (!line->deltas)
        line->first_arrival = group->arrived;
    line->deltas = line->deltas < 1000 ? line->deltas + 1 : 1000;
    line->sum_ms += arrived_ms - sent_ms;
    line->smoothed_ms = SMOOTHING * line->smoothed_ms + (1 - SMOOTHING) * line->sum_ms;
    uint32_t place = (line->first_point + line->point_count) % WINDOW;
    if (line->point_count < WINDOW)
        line->point_count++;
    else
        line->first_point = (line->first_point + 1) % WINDOW;
    line->points[place][0] = (group->arrived - line->first_arrival) * 1000;
    line->points[place][1] = line->smoothed_ms;
    double trend = line->point_count == WINDOW ? slope(line) : line->trend;
    detect(line, trend, sent_ms, group->arrived);
}

static void trend_packet(struct trendline *line, double sent, double arrived)
{
    struct sent_group *group = &line->group, fresh = {sent, sent, arrived, 1};
    if (!group->there) {
        *group = fresh;
    } else if (sent < group->first_sent) {
        return; /* overtaken on the way: of no use */
    } else if (sent - group->first_sent <= GROUP_S) {
        group->sent = fmax(group->sent, sent);
        group->arrived = fmax(group->arrived, arrived);
    } else {
        struct sent_group ended = *group;
        if (line->before.there)
            trend_delta(line, &line->before, &ended);
        line->before = ended;
        line->group = fresh;
    }
}

/* --- the estimate (media.bandwidth) ---------------------------------------------------------------------------------- */

struct noted {
    double at, arrived;
    uint32_t size, probe;
    int32_t came, lost;
};
struct acked {
    double at;
    uint32_t size, unused;
};
struct probe {
    int there;
    double began, ended, first_sent, last_sent, first, last;
    int64_t total, first_size, last_size, sent, packets;
};
struct estimator {
    struct estimate told; /* first: what Python sees of it */
    struct noted *noted;  /* of numbers `oldest` to `highest`, each at its lowest bits */
    int64_t oldest, highest;
    uint64_t noted_room;
    struct trendline trend;
    struct acked *acked; /* a ring of `acked_room` places */
    uint32_t acked_room, acked_first, acked_count;
    int64_t acked_octets, reference;
    int has_reference, grew, limited, measured, was_short;
    double by_delay, by_loss, grew_at, fell_at, limit_mean, limit_variance, least_s, standing_s, loss_at, mean_loss;
    int64_t lost, judged;
    struct probe probe;
    uint32_t probe_number;
    double reported_at, reports_left;
};

struct estimate *estimator_new(void)
{
    struct estimator *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->told.estimate_bps = self->by_delay = START_BPS;
    self->by_loss = MOST_BPS;
    self->told.acked_bps = -1;
    self->told.rtt_s = 0.1;
    self->told.congested_at = -INFINITY;
    self->highest = -1;
    self->fell_at = self->loss_at = self->reported_at = -INFINITY;
    self->was_short = 1;
    self->trend.threshold = FIRST_THRESHOLD;
    self->trend.over_ms = -1.0;
    return &self->told;
}

void estimator_free(struct estimate *estimate)
{
    struct estimator *self = (struct estimator *)estimate;
    if (!self)
        return;
    free(self->noted), free(self->acked), free(self);
}

static struct noted *noted(const struct estimator *self, int64_t number)
{
    return self->highest >= 0 && number >= self->oldest && number <= self->highest
               ? &self->noted[(uint64_t)number & (self->noted_room - 1)]
               : NULL;
}

static int make_noted_room(struct estimator *self)
{
    uint64_t before = self->noted_room, room = before ? before * 2 : 64;
    struct noted *grown = malloc(room * sizeof *grown);
    if (!grown)
        return 0;
    for (int64_t number = self->oldest; before && number <= self->highest; number++)
        grown[(uint64_t)number & (room - 1)] = self->noted[(uint64_t)number & (before - 1)];
    free(self->noted);
    self->noted = grown, self->noted_room = room;
    return 1;
}

static void tag(struct estimator *self, struct noted *packet)
{
    if (self->probe.there && self->probe.began <= packet->at && packet->at <= self->probe.ended) {
        packet->probe = self->probe_number;
        self->probe.sent++;
    }
}

void estimator_note(struct estimate *estimate, uint32_t number, double at, uint32_t size)
{
    struct estimator *self = (struct estimator *)estimate;
    if (self->highest < 0)
        self->oldest = self->highest = (int64_t)number + 0x10000;
    else
        self->highest++;
    if (self->highest - self->oldest >= (int64_t)self->noted_room &&
        (self->noted_room == MAX_HISTORY || !make_noted_room(self)))
        self->oldest++;
    if (!self->noted_room) { /* no memory at all */
        self->highest = -1;
        return;
    }
    struct noted *packet = &self->noted[(uint64_t)self->highest & (self->noted_room - 1)];
    *packet = (struct noted){.at = at, .size = size + OVERHEAD_BYTES};
    tag(self, packet);
    while (at - noted(self, self->oldest)->at > HISTORY_S)
        self->oldest++;
}

void begin_probe(struct estimate *estimate, double now, double lasts_s)
{
    struct estimator *self = (struct estimator *)estimate;
    self->probe_number++;
    self->probe = (struct probe){.there = 1, .began = now, .ended = now + lasts_s};
    for (int64_t number = self->highest; number >= self->oldest && self->highest >= 0; number--) {
        struct noted *packet = noted(self, number);
        if (packet->at < now)
            break;
        tag(self, packet);
    }
}

static void fall(struct estimator *self, double acked, double now)
{
    self->fell_at = self->told.congested_at = now;
    self->by_delay = fmax(LEAST_BPS, fmin(self->by_delay, acked * DECREASE));
    if (!self->limited || fabs(acked - self->limit_mean) > 3 * pow(self->limit_variance, 0.5)) {
        self->limited = 1;
        self->limit_mean = acked, self->limit_variance = (acked * 0.1) * (acked * 0.1);
    } else {
        double off = acked - self->limit_mean;
        self->limit_variance = self->limit_variance * 0.95 + off * off * 0.05;
        self->limit_mean = self->limit_mean * 0.95 + acked * 0.05;
    }
    self->probe.there = 0;
}

static void grow(struct estimator *self, double elapsed)
{
    double acked = self->told.acked_bps, grown;
    if (acked < 0)
        return;
    double spread = self->limited ? 3 * pow(self->limit_variance, 0.5) : 0;
    if (self->limited && acked > self->limit_mean + spread)
        self->limited = 0; /* there is more room than there was */
    if (self->limited && self->by_delay > self->limit_mean - spread)
        grown = self->by_delay + elapsed * fmax(4000.0, 1200 * 8 / (self->told.rtt_s + 0.1));
    else
        grown = self->by_delay * pow(GROWTH_PER_S, elapsed) + 1000 * elapsed;
    self->by_delay = fmax(self->by_delay, fmin(grown, acked * 1.5 + 10000));
    if (self->standing_s < STANDING_S)
        self->by_delay = fmax(self->by_delay, acked * DECREASE);
}

static void by_delays(struct estimator *self, double now)
{
    double elapsed = self->grew ? fmin(now - self->grew_at, 1.0) : 0.0;
    self->grew = 1, self->grew_at = now;
    enum usage usage = self->trend.usage;
    if (usage == OVER && self->standing_s < NOTICED_S)
        usage = self->trend.usage = NORMAL;
    if (self->standing_s < STANDING_S)
        self->was_short = 1;
    else if (self->standing_s > LONG_S && self->was_short)
        self->was_short = 0, usage = OVER;
    if (usage == OVER) {
        self->trend.usage = NORMAL;
        if (now - self->fell_at >= self->told.rtt_s + 0.1 && self->told.acked_bps >= 0)
            fall(self, self->told.acked_bps, now);
    } else if (usage == NORMAL && now - self->fell_at > self->told.rtt_s + 0.1) {
        grow(self, elapsed);
    }
}

static void take_loss(struct estimator *self, double loss, double elapsed, double now)
{
    double acked = self->told.acked_bps;
    self->mean_loss += LOSS_SHARE * (loss - self->mean_loss);
    if (loss > LOSS_HIGH) {
        if (self->standing_s < NOTICED_S && self->mean_loss < LOSS_HEAVY)
            return;
        if (now - self->fell_at < self->told.rtt_s + 0.3)
            return;
        /* What arrives in spite of it is there to be used. */
        double least = fmax(LEAST_BPS, fmin((acked > 0 ? acked : 0.0) * DECREASE, self->told.estimate_bps));
        self->by_loss = fmax(least, fmin(self->by_loss, self->told.estimate_bps) * (1 - 0.5 * loss));
        if (self->standing_s > STANDING_S && acked >= 0)
            fall(self, acked, now);
        self->fell_at = self->told.congested_at = now;
    } else if (loss < LOSS_LOW) {
        self->by_loss = fmin(MOST_BPS, self->by_loss * pow(GROWTH_PER_S, elapsed) + 1000 * elapsed);
    }
}

static void by_losses(struct estimator *self, double now)
{
    int64_t least = self->standing_s > STANDING_S ? LOSS_PACKETS_STANDING : LOSS_PACKETS;
    if (self->judged < least || now - self->loss_at < 0.2)
        return;
    double elapsed = fmin(now - self->loss_at, 1.0);
    self->told.loss = (double)(self->lost > 0 ? self->lost : 0) / (double)self->judged;
    self->lost = self->judged = 0;
    self->loss_at = now;
    take_loss(self, self->told.loss, elapsed, now);
}

static void judge_probe(struct estimator *self)
{
    struct probe *probe = &self->probe;
    const struct noted *newest = noted(self, self->highest);
    if (probe->packets < PROBE_PACKETS || (double)probe->packets < 0.8 * (double)probe->sent ||
        !(newest->at > probe->ended || probe->packets == probe->sent))
        return;
    probe->there = 0;
    if (probe->last_sent <= probe->first_sent || probe->last <= probe->first)
        return;
    double sent = (double)((probe->total - probe->last_size) * 8) / (probe->last_sent - probe->first_sent);
    double received = (double)((probe->total - probe->first_size) * 8) / (probe->last - probe->first);
    if (received > 2 * sent)
        return;
    double result = received >= 0.9 * sent ? fmin(sent, received) : received * 0.95;
    if (result > self->by_delay) {
        self->by_delay = fmin(result, MOST_BPS);
        self->by_loss = fmax(self->by_loss, self->by_delay);
        self->limited = 0;
    }
}

static void probed(struct probe *probe, const struct noted *packet)
{
    if (!probe->packets++) {
        probe->first_sent = packet->at, probe->first_size = packet->size;
        probe->first = probe->last = packet->arrived;
    }
    probe->last_sent = packet->at, probe->last_size = packet->size;
    probe->first = fmin(probe->first, packet->arrived), probe->last = fmax(probe->last, packet->arrived);
    probe->total += packet->size;
}

static struct acked *acked_at(const struct estimator *self, uint32_t index)
{
    return &self->acked[(self->acked_first + index) & (self->acked_room - 1)];
}

static void forget_acked(struct estimator *self)
{
    self->acked_octets -= acked_at(self, 0)->size;
    self->acked_first++, self->acked_count--;
}

static void acknowledge(struct estimator *self, double arrived, uint32_t size)
{
    if (self->acked_count && arrived < acked_at(self, self->acked_count - 1)->at - CLOCK_BACK_S)
        self->acked_count = 0, self->acked_octets = 0;
    if (self->acked_count == self->acked_room && self->acked_room < MAX_ACKED) {
        uint32_t room = self->acked_room ? self->acked_room * 2 : 64;
        struct acked *grown = malloc(room * sizeof *grown);
        if (grown) {
            for (uint32_t index = 0; index < self->acked_count; index++)
                grown[index] = *acked_at(self, index);
            free(self->acked);
            self->acked = grown, self->acked_room = room, self->acked_first = 0;
        }
    }
    if (!self->acked_room)
        return;
    if (self->acked_count == self->acked_room)
        forget_acked(self);
    *acked_at(self, self->acked_count++) = (struct acked){arrived, size, 0};
    self->acked_octets += size;
}

static void learn(struct estimator *self, const int64_t *came, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++) {
        const struct noted *packet = noted(self, came[index]);
        double took = packet->arrived - packet->at;
        trend_packet(&self->trend, packet->at, packet->arrived);
        /* Forgotten slowly, so that another way or a drifting clock does not count for ever. */
        self->least_s = fmin(self->measured ? self->least_s + 0.00001 : took, took);
        self->measured = 1;
        self->standing_s = 0.8 * self->standing_s + 0.2 * (packet->arrived - packet->at - self->least_s);
        acknowledge(self, packet->arrived, packet->size);
        if (self->probe.there && packet->probe == self->probe_number)
            probed(&self->probe, packet);
    }
    if (self->acked_count) {
        double newest = -INFINITY;
        for (uint32_t back = 1; back <= NEWEST && back <= self->acked_count; back++)
            newest = fmax(newest, acked_at(self, self->acked_count - back)->at);
        while (self->acked_count && acked_at(self, 0)->at < newest - ACKED_WINDOW_S)
            forget_acked(self);
        double span = newest - acked_at(self, 0)->at;
        if (span > ACKED_WINDOW_S / 2)
            self->told.acked_bps = (double)(self->acked_octets * 8) / fmax(span, ACKED_WINDOW_S * 0.9);
    }
    if (self->probe.there)
        judge_probe(self);
}

static void decide(struct estimator *self)
{
    self->told.estimate_bps = fmin(fmax(fmin(self->by_delay, self->by_loss), LEAST_BPS), MOST_BPS);
}

void estimator_remb(struct estimate *told, double bitrate_bps, double now)
{
    told->known = 1;
    if (told->numbered)
        return;
    double before = told->estimate_bps;
    told->estimate_bps = fmin(fmax(bitrate_bps, LEAST_BPS), MOST_BPS);
    if (told->estimate_bps < before * 0.95)
        told->congested_at = now;
}

/* --- what the receiver says (media.transportcc) ------------------------------------------------------------------------ */

static int64_t nearest(int64_t value, int64_t reference, int bits)
{
    int64_t modulus = (int64_t)1 << bits, difference = (value - reference) & (modulus - 1);
    return reference + (difference >= modulus / 2 ? difference - modulus : difference);
}

/* One symbol for each packet; gives where the times begin, 0 where the chunks are cut off. */
static size_t read_symbols(const uint8_t *body, size_t size, uint32_t total, uint8_t *symbols)
{
    size_t offset = 8;
    for (uint32_t count = 0; count < total; offset += 2) {
        if (offset + 2 > size)
            return 0;
        uint32_t chunk = read16(body + offset);
        uint32_t run = !(chunk & 0x8000) ? chunk & 0x1FFF : chunk & 0x4000 ? 7 : 14;
        if (!run)
            return 0;
        for (uint32_t index = 0; index < run && count < total; index++)
            symbols[count++] = (uint8_t)(!(chunk & 0x8000) ? chunk >> 13 & 3
                                         : chunk & 0x4000  ? chunk >> (12 - 2 * index) & 3
                                                           : chunk >> (13 - index) & 1);
    }
    return offset;
}

static uint32_t time_bytes(uint8_t symbol) { return symbol == 1 || symbol == 2 ? symbol : 0; }

int32_t statuses_count(const uint8_t *body, size_t size, uint32_t most)
{
    uint8_t symbols[MAX_READ];
    if (size < 8)
        return -1;
    uint32_t total = read16(body + 2);
    if (total > most || total > MAX_READ)
        return -1;
    size_t offset = read_symbols(body, size, total, symbols);
    if (!offset)
        return -1;
    for (uint32_t index = 0; index < total; index++)
        offset += time_bytes(symbols[index]);
    return offset > size ? -1 : (int32_t)total;
}

static int admits_report(struct estimator *self, double now)
{
    self->reports_left = fmin(self->reports_left + (now - self->reported_at) * REPORTS_PER_S, REPORTS_AHEAD);
    self->reported_at = now;
    if (self->reports_left < 1)
        return 0;
    self->reports_left -= 1;
    return 1;
}

static void came_late_or_not(struct estimator *self, struct noted *packet)
{
    packet->came = 1;
    self->judged++;
    if (packet->lost) { /* it was only late */
        packet->lost = 0;
        self->lost--, self->judged--;
    }
}

/* `body` has been found right by `statuses_count`. 0 where there were too many reports. */
int estimator_feedback(struct estimate *estimate, const uint8_t *body, uint32_t size, double now)
{
    struct estimator *self = (struct estimator *)estimate;
    uint8_t symbols[MAX_READ];
    int64_t came[MAX_READ];
    uint32_t total = read16(body + 2), count = 0;
    if (total > MAX_READ || !admits_report(self, now))
        return 0;
    if (self->highest < 0)
        return 1;
    self->told.known = self->told.numbered = 1;
    size_t offset = read_symbols(body, size, total, symbols);
    int64_t number = nearest(read16(body), self->highest, 16), wide = read32(body + 4) >> 8;
    self->reference = self->has_reference ? nearest(wide, self->reference, 24) : wide;
    self->has_reference = 1;
    int64_t ticks = self->reference * REFERENCE_TICKS;
    for (uint32_t index = 0; index < total; index++, number++) {
        struct noted *packet = noted(self, number);
        uint32_t bytes = time_bytes(symbols[index]);
        if (bytes)
            ticks += bytes == 1 ? body[offset] : (int16_t)read16(body + offset);
        offset += bytes;
        if (!packet || packet->came)
            continue;
        if (bytes) {
            packet->arrived = (double)ticks / TICKS_PER_S;
            came_late_or_not(self, packet);
            came[count++] = number;
        } else if (!packet->lost) {
            packet->lost = 1;
            self->lost++, self->judged++;
        }
    }
    if (count) {
        double took = now - noted(self, came[count - 1])->at;
        self->told.rtt_s = 0.9 * self->told.rtt_s + 0.1 * fmax(0.0, fmin(took, 2.0));
    }
    learn(self, came, count);
    by_losses(self, now);
    by_delays(self, now);
    decide(self);
    return 1;
}
