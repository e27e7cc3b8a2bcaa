#include "reports.h"

#include <string.h>

#include "estimate.h"
#include "packet.h"

enum {
    SENDER_REPORT = 200,
    RECEIVER_REPORT = 201,
    SOURCE_DESCRIPTION = 202,
    TRANSPORT_FEEDBACK = 205,
    TRANSPORT_WIDE = 15,
    CNAME = 1,
    MAX_PACKETS = 32,
    MAX_REPORTS = 16, /* losses between two questions about quality */
    MAX_ECHOES = 8,
};

struct part {
    const uint8_t *body;
    size_t size, end;
    uint32_t count, kind;
};

static int next_part(const uint8_t *packet, size_t size, size_t offset, struct part *part)
{
    if (offset + 4 > size)
        return 0;
    uint32_t first = packet[offset];
    part->count = first & 0x1F, part->kind = packet[offset + 1];
    part->body = packet + offset + 4;
    part->size = 4 * (size_t)read16(packet + offset + 2);
    part->end = offset + 4 + part->size;
    if (first >> 6 != 2 || part->end > size)
        return 0;
    if (first & 0x20) {
        uint8_t padding = part->size ? part->body[part->size - 1] : 0;
        if (!padding || padding > part->size)
            return 0;
        part->size -= padding;
    }
    return 1;
}

static int right_description(const struct part *part)
{
    size_t offset = 0;
    for (uint32_t chunk = 0; chunk < part->count; chunk++) {
        if (offset + 4 > part->size)
            return 0;
        offset += 4;
        while (offset < part->size && part->body[offset]) {
            if (offset + 2 > part->size || offset + 2 + part->body[offset + 1] > part->size)
                return 0;
            offset += 2u + part->body[offset + 1];
        }
        offset += 4 - offset % 4;
    }
    return 1;
}

/* Whether it is one that we take, and right. `statuses` is what may still be told of. */
static int is_ours(const struct part *part, uint32_t *statuses)
{
    if (part->kind == RECEIVER_REPORT)
        return part->size >= 4 + REPORT_BLOCK_BYTES * (size_t)part->count;
    if (part->kind == SOURCE_DESCRIPTION)
        return right_description(part);
    if (part->kind != TRANSPORT_FEEDBACK || part->count != TRANSPORT_WIDE || part->size < 8)
        return 0;
    int32_t told = statuses_count(part->body + 8, part->size - 8, *statuses);
    *statuses -= told > 0 ? (uint32_t)told : 0;
    return told >= 0;
}

void heard_report(struct peer *peer, const uint8_t *block, double now)
{
    uint32_t ssrc = read32(block), last = read32(block + 16);
    for (uint32_t index = 0; index < peer->route_count; index++) {
        struct route *route = peer->routes[index];
        if (route->agreed.ssrc != ssrc)
            continue;
        struct heard *heard = &route->heard;
        if (heard->reports < MAX_REPORTS)
            heard->reports++, heard->losses += block[4];
        heard->jitter = read32(block + 12);
        for (uint32_t echo = 0; echo < route->echo_count; echo++)
            if (route->echoes[echo].middle == last) {
                double took = now - route->echoes[echo].at - read32(block + 20) / 65536.0;
                heard->rtt_s = took > 0 ? took : 0.0;
            }
        return;
    }
}

int take_reports(struct peer *peer, const uint8_t *packet, size_t size, double now)
{
    struct part part;
    uint32_t statuses = MAX_READ, parts = 0;
    int refused = 0;
    for (size_t offset = 0; offset < size; offset = part.end)
        if (++parts == MAX_PACKETS || !next_part(packet, size, offset, &part) || !is_ours(&part, &statuses))
            return 0;
    for (size_t offset = 0; offset < size; offset = part.end) {
        next_part(packet, size, offset, &part);
        if (part.kind == RECEIVER_REPORT)
            for (uint32_t block = 0; block < part.count; block++)
                heard_report(peer, part.body + 4 + REPORT_BLOCK_BYTES * block, now);
        else if (part.kind == TRANSPORT_FEEDBACK && estimate(peer) &&
                 !estimator_feedback(peer->estimate, part.body + 8, (uint32_t)(part.size - 8), now))
            refused++;
    }
    return refused ? -refused : 1;
}

void take_heard(struct route *route, struct heard *taken)
{
    *taken = route->heard;
    route->heard.losses = route->heard.reports = 0;
}

static void remember(struct route *route, uint32_t middle, double now)
{
    for (uint32_t echo = 0; echo < route->echo_count; echo++)
        if (route->echoes[echo].middle == middle) {
            route->echoes[echo].at = now;
            return;
        }
    if (route->echo_count == MAX_ECHOES)
        memmove(route->echoes, route->echoes + 1, --route->echo_count * sizeof *route->echoes);
    route->echoes[route->echo_count++] = (struct echo){middle, now};
}

static uint8_t *head(uint8_t *at, uint32_t count, uint32_t kind, size_t size)
{
    at[0] = (uint8_t)(0x80 | count), at[1] = (uint8_t)kind;
    write16(at + 2, (uint32_t)(size / 4 - 1));
    return at + 4;
}

size_t write_report(struct route *route, uint64_t ntp, uint32_t timestamp, double now, uint8_t *out)
{
    const struct agreement *agreed = &route->agreed;
    uint8_t *at = head(out, 0, SENDER_REPORT, SENDER_REPORT_BYTES);
    write32(at, agreed->ssrc);
    write32(at + 4, (uint32_t)(ntp >> 32)), write32(at + 8, (uint32_t)ntp);
    write32(at + 12, timestamp);
    write32(at + 16, (uint32_t)route->packets), write32(at + 20, (uint32_t)route->octets);
    size_t chunk = 4 + 2 + (size_t)agreed->cname_size + 1, padded = (chunk + 3) & ~(size_t)3;
    at = head(out + SENDER_REPORT_BYTES, 1, SOURCE_DESCRIPTION, 4 + padded);
    memset(at, 0, padded);
    write32(at, agreed->ssrc);
    at[4] = CNAME, at[5] = (uint8_t)agreed->cname_size;
    memcpy(at + 6, agreed->cname, agreed->cname_size);
    remember(route, (uint32_t)(ntp >> 16), now);
    return SENDER_REPORT_BYTES + 4 + padded;
}
