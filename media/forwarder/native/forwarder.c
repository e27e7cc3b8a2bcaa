/* The forwarder of media/forwarder/reference.py in C: same tables, same decisions, same bytes out; a test with random
 * histories holds the two equal. Change both or neither.
 *
 * Packets of a picture whose last one has not come yet are held back for a millisecond, so that they leave in one run.
 * Whoever calls from outside while some are held calls `settle` first, but for pump and inject.
 *
 * A packet's way: pump (recvmmsg, address -> peer) -> media (libsrtp unprotects in place, SSRC -> source) -> keep ->
 * store (into the source's ring: the one copy that is kept) -> fan_out -> send_run for each route (header, protect, both
 * in the arena) -> flush (sendmmsg, with UDP_SEGMENT for runs).
 *
 * No thread, no lock, no callback: one call at a time, from the event loop, without the interpreter's lock. Packets cost
 * no allocation but where a ring's place must grow. The cryptography is libsrtp's, by pointers that Python has tested.
 */
#define _GNU_SOURCE
#include "forwarder.h"
#include "estimate.h"
#include "pacing.h"
#include "reports.h"

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FENCE(at, size) ASAN_POISON_MEMORY_REGION(at, size)
#define UNFENCE(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
#else
#define FENCE(at, size) (void)(at), (void)(size)
#define UNFENCE(at, size) (void)(at), (void)(size)
#endif

#ifndef SOURCE_HASH
#define SOURCE_HASH "unknown"
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
    RECEIVES = 64,
    MAX_HELD = 32,
    PACKET_BYTES = 2048 + 64, /* the longest datagram taken; what is longer fails its authentication */
    RESERVE = PACKET_BYTES + 64,
    LONGEST_PLAIN = 2096,
    ARENA = 96 << 10, /* stays in the second-level cache between protecting and sending */
    MESSAGES = 256,
    BATCH = 16,
    MAX_DROPOUT = 3000,
    MAX_ARRIVALS = 8192,
    MAX_MISSING = 256,
    FAST_START_PACKETS = 60,
    NACK_TRIES = 10,
    RESEND_TRIES = 3,
    RESEND_MEMORY = 512,
    PADDING_PACKETS = 16,
    MAX_PADDING_PACKETS = 64,
    MAX_LEVELS = 64,
    SRTP_REPLAY_FAIL = 9,
    SRTP_REPLAY_OLD = 10,
};
static const double FAST_START_S = 0.7, NACK_FIRST_S = 0.01, NACK_REPEAT_S = 0.1, NACK_MAX_AGE_S = 2.0,
                    RESEND_PAUSE_S = 0.1, LEAST_RESEND_PAUSE_S = 0.02, CONGESTED_S = 31.0,
                    CHANGE = 0.03, QUIET_S = 0.3, WHOLE_S = 0.5, HOLD_S = 0.001;
enum kind { STUN = 1, DTLS, RTCP, UNBOUND, TAPPED, NEWS };

typedef int (*srtp_function)(void *context, void *packet, int *size);

struct binding {
    uint32_t ssrc;
    int32_t rtx;
    struct source *source;
};
struct packet {
    int64_t number;
    uint8_t *bytes;
    uint32_t size, room;
};
struct gap {
    int64_t number;
    double since, ask_at;
    int32_t tries;
};
struct resend {
    int64_t number;
    double last;
    int32_t tries;
};
struct group {
    struct renumbering renumbering;
    uint32_t count;
    struct route **routes;
};
struct admitted {
    uint64_t key[3];
    struct peer *peer;
};
struct message {
    struct peer *to;
    uint32_t start, size, segment;
};
union control {
    struct cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
};

struct core {
    struct forwarder open; /* first: what Python sees */
    int descriptor;
    uint32_t run_packets;
    uint64_t seed;
    srtp_function protect, unprotect, protect_rtcp, unprotect_rtcp;
    struct admitted *admitted;
    uint32_t admitted_count, admitted_mask;
    struct source *sources;
    struct peer *paced; /* peers with packets that wait for their time */
    uint32_t filled, messages, listed_count;
    struct message owners[MESSAGES];
    struct mmsghdr headers[MESSAGES];
    struct iovec vectors[MESSAGES];
    union control controls[MESSAGES];
    struct mmsghdr incoming[RECEIVES];
    struct iovec incoming_vectors[RECEIVES];
    struct sockaddr_in6 from[RECEIVES];
    struct source *listed[RECEIVES + MAX_HELD]; /* sources with queued packets */
    uint8_t *received; /* RECEIVES * PACKET_BYTES */
    uint8_t *arena;
    uint8_t scratch[BATCH][RESERVE];
    uint8_t original[RESERVE];
};

#define SELF struct core *self = (struct core *)forwarder
#define COUNT(name) (self->open.counters.name++)

const char *source_hash(void) { return SOURCE_HASH; }

static double clock_now(const struct core *self)
{
    if (self->open.now >= 0)
        return self->open.now;
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

static int64_t nearest16(int64_t value, int64_t reference)
{
    int64_t difference = (value - reference) & 0xFFFF;
    return reference + (difference >= 0x8000 ? difference - 0x10000 : difference);
}

/* --- addresses: a hash table with linear probing ------------------------------------------------------------------- */

static void key_of(const void *bytes, uint64_t key[3])
{
    struct sockaddr_in6 six;
    struct sockaddr_in four;
    memset(key, 0, 24);
    memcpy(&four, bytes, sizeof four);
    if (four.sin_family == AF_INET6) {
        memcpy(&six, bytes, sizeof six);
        memcpy(key, &six.sin6_addr, 16);
        key[2] = (uint64_t)six.sin6_scope_id << 32 | (uint64_t)six.sin6_port << 16 | AF_INET6;
    } else {
        key[0] = four.sin_addr.s_addr;
        key[2] = (uint64_t)four.sin_port << 16 | AF_INET;
    }
}

static uint32_t place_of(const struct core *self, const uint64_t key[3])
{
    uint64_t mixed = self->seed;
    for (int word = 0; word < 3; word++) {
        mixed = (mixed ^ key[word]) * 0x9E3779B97F4A7C15u;
        mixed ^= mixed >> 29;
    }
    return (uint32_t)mixed & self->admitted_mask;
}

static struct admitted *find_address(const struct core *self, const uint64_t key[3])
{
    uint32_t place = place_of(self, key);
    while (self->admitted[place].peer && memcmp(self->admitted[place].key, key, 24))
        place = (place + 1) & self->admitted_mask;
    return &self->admitted[place];
}

static int grow_addresses(struct core *self)
{
    uint32_t before = self->admitted ? self->admitted_mask + 1 : 0, size = before ? before * 2 : 64;
    struct admitted *old = self->admitted, *grown = calloc(size, sizeof *grown);
    if (!grown)
        return 0;
    self->admitted = grown, self->admitted_mask = size - 1;
    for (uint32_t place = 0; place < before; place++)
        if (old[place].peer)
            *find_address(self, old[place].key) = old[place];
    free(old);
    return 1;
}

int admit(struct forwarder *forwarder, const struct name *name, struct peer *peer)
{
    SELF;
    uint64_t key[3];
    if (self->admitted_count * 2 > self->admitted_mask && !grow_addresses(self))
        return 0;
    key_of(name->bytes, key);
    struct admitted *found = find_address(self, key);
    if (!found->peer)
        self->admitted_count++;
    memcpy(found->key, key, 24);
    found->peer = peer;
    return 1;
}

void dismiss(struct forwarder *forwarder, const struct name *name)
{
    SELF;
    uint64_t key[3];
    key_of(name->bytes, key);
    struct admitted *found = find_address(self, key);
    if (!found->peer)
        return;
    self->admitted_count--;
    uint32_t mask = self->admitted_mask, hole = (uint32_t)(found - self->admitted), next = hole;
    for (;;) {
        next = (next + 1) & mask;
        struct admitted *moved = &self->admitted[next];
        if (!moved->peer)
            break;
        /* It may fill the hole unless its own place lies behind the hole. */
        if (((next - place_of(self, moved->key)) & mask) >= ((next - hole) & mask)) {
            self->admitted[hole] = *moved;
            hole = next;
        }
    }
    self->admitted[hole].peer = NULL;
}

/* --- sending --------------------------------------------------------------------------------------------------------- */

static uint64_t packets_of(const struct message *message)
{
    return message->segment ? (message->size + message->segment - 1) / message->segment : 1;
}

static void one_by_one(struct core *self, const struct message *message)
{
    uint32_t step = message->segment ? message->segment : message->size;
    for (uint32_t at = 0; at < message->size; at += step) {
        uint32_t size = message->size - at < step ? message->size - at : step;
        const struct name *to = &message->to->destination;
        if (sendto(self->descriptor, self->arena + message->start + at, size, MSG_DONTWAIT,
                   (const struct sockaddr *)to->bytes, to->length) < 0)
            COUNT(dropped_send);
    }
}

static void flush(struct core *self)
{
    uint32_t count = self->messages, done = 0;
    self->messages = self->filled = 0;
    while (done < count) {
        int sent = sendmmsg(self->descriptor, self->headers + done, count - done, MSG_DONTWAIT);
        if (sent > 0) {
            done += (uint32_t)sent;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
            for (; done < count; done++)
                self->open.counters.dropped_send += packets_of(&self->owners[done]);
            return;
        }
        struct message *failed = &self->owners[done++];
        if (failed->segment && (errno == EINVAL || errno == EIO || errno == EOPNOTSUPP || errno == EMSGSIZE)) {
            failed->to->segments = 0;
            COUNT(gso_fallbacks);
            one_by_one(self, failed);
        } else {
            self->open.counters.dropped_send += packets_of(failed);
        }
    }
}

static void add_message(struct core *self, struct peer *to, uint32_t start, uint32_t size, uint32_t segment)
{
    uint32_t index = self->messages++;
    struct msghdr *header = &self->headers[index].msg_hdr;
    self->owners[index] = (struct message){to, start, size, segment};
    self->vectors[index] = (struct iovec){self->arena + start, size};
    header->msg_name = to->destination.bytes;
    header->msg_namelen = to->destination.length;
    header->msg_iov = &self->vectors[index];
    header->msg_iovlen = 1;
    header->msg_flags = 0;
    header->msg_control = NULL;
    header->msg_controllen = 0;
    if (segment) {
        uint16_t cut = (uint16_t)segment;
        header->msg_control = &self->controls[index];
        header->msg_controllen = sizeof self->controls[index].bytes;
        memcpy(CMSG_DATA(&self->controls[index].header), &cut, sizeof cut);
    }
}

static void make_room(struct core *self, uint32_t packets)
{
    if (self->filled + packets * RESERVE > ARENA || self->messages + packets > MESSAGES)
        flush(self);
}

/* What is thought of the way to this peer, made when it is first asked for; NULL without memory. */
struct estimate *estimate(struct peer *peer)
{
    if (!peer->estimate)
        peer->estimate = estimator_new();
    return peer->estimate;
}

/* The next number of this peer's transport, written into the packet and remembered. */
static void number_transport(struct peer *peer, uint8_t *at, size_t position, uint32_t size, double now)
{
    if (estimate(peer))
        estimator_note(peer->estimate, peer->transport_next, now, size);
    write16(at + position, peer->transport_next);
    peer->transport_next = (peer->transport_next + 1) & 0xFFFF;
}

/* Rewrite, protect and queue packets for one route. The hottest loop of the program. */
static void send_run(struct core *self, struct route *route, const struct queued *packets, uint32_t count)
{
    struct peer *peer = route->peer;
    if (!peer->destination.length || !peer->send_context)
        return;
    make_room(self, count);
    uint32_t longest = peer->segments ? self->run_packets : 1;
    uint32_t offset = self->filled, run_start = offset, run = 0, segment = 0;
    uint64_t sent = 0, octets = 0;
    int numbered = route->agreed.renumbering.transport != 0;
    double now = numbered ? clock_now(self) : 0;
    for (uint32_t index = 0; index < count; index++) {
        const struct queued *packet = &packets[index];
        if (packet->number < route->start)
            continue;
        uint8_t *at = self->arena + offset;
        memcpy(at, packet->bytes, packet->size);
        at[1] = packet->marker | (uint8_t)route->agreed.payload_type;
        write16(at + 2, (uint32_t)((packet->number + route->sequence_shift) & 0xFFFF));
        write32(at + 4, packet->timestamp + route->timestamp_shift);
        write32(at + 8, route->agreed.ssrc);
        for (uint32_t patch = 0; patch < packet->patches; patch++)
            at[packet->patch_at[patch]] = packet->patch[patch];
        if (numbered)
            number_transport(peer, at, transport_position(packet->bytes, packet->size), packet->size, now);
        int size = (int)packet->size;
        if (self->protect(peer->send_context, at, &size)) {
            COUNT(dropped_protect);
            continue;
        }
        uint32_t protected = (uint32_t)size;
        sent++, octets += packet->size;
        if (run && (protected > segment || run >= longest)) {
            add_message(self, peer, run_start, offset - run_start, run > 1 ? segment : 0);
            run_start = offset, run = 0;
        }
        if (!run)
            segment = protected;
        run++, offset += protected;
        if (protected < segment) { /* only the last packet of a run may be shorter */
            add_message(self, peer, run_start, offset - run_start, segment);
            run_start = offset, run = 0;
        }
    }
    if (run)
        add_message(self, peer, run_start, offset - run_start, run > 1 ? segment : 0);
    self->filled = offset;
    route->packets += (int64_t)sent;
    route->octets += (int64_t)(octets - sent * HEADER_BYTES);
    self->open.counters.packets_out += sent;
    self->open.counters.bytes_out += octets;
}

static void send_plain(struct core *self, struct route *route, const uint8_t *packet, uint32_t size)
{
    struct peer *peer = route->peer;
    if (!peer->destination.length || !peer->send_context)
        return;
    make_room(self, 1);
    uint8_t *at = self->arena + self->filled;
    int protected = (int)size;
    memcpy(at, packet, size);
    if (route->agreed.renumbering.transport)
        number_transport(peer, at, transport_position(packet, size), size, clock_now(self));
    if (self->protect(peer->send_context, at, &protected)) {
        COUNT(dropped_protect);
        return;
    }
    add_message(self, peer, self->filled, (uint32_t)protected, 0);
    self->filled += (uint32_t)protected;
    COUNT(packets_out);
    self->open.counters.bytes_out += size;
}

/* Gives how many of the packets could be rewritten for routes with this renumbering. */
static uint32_t prepare(struct core *self, const struct queued *packets, uint32_t count,
                        const struct renumbering *renumbering, struct queued *prepared)
{
    uint32_t done = 0;
    for (uint32_t index = 0; index < count; index++) {
        prepared[done] = packets[index];
        if (renumbering->transport || packets[index].bytes[0] & 0x10) {
            size_t size = renumber_extensions(packets[index].bytes, packets[index].size, renumbering->mapping,
                                              renumbering->transport, self->scratch[done], LONGEST_PLAIN);
            if (!size) {
                COUNT(dropped_rtp);
                continue;
            }
            prepared[done].bytes = self->scratch[done];
            prepared[done].size = (uint32_t)size;
        }
        done++;
    }
    return done;
}

static void list_paced(struct core *self, struct peer *peer)
{
    if (peer->is_paced)
        return;
    peer->is_paced = 1;
    peer->next_paced = self->paced;
    self->paced = peer;
}

static void shape_and_pace(struct core *self, struct route *route, const struct queued *prepared, uint32_t count)
{
    struct queued shaped[BATCH];
    if (route->shaper) {
        count = shaper_shape(route->shaper, prepared, count, clock_now(self), shaped);
        prepared = shaped;
    }
    struct pacer *pacer = route->peer->pacer;
    if (!pacer) {
        send_run(self, route, prepared, count);
        return;
    }
    for (uint32_t index = 0; index < count; index++)
        if (prepared[index].number >= route->start &&
            !pacer_push(pacer, route->source->video ? PICTURE : SOUND, route, &prepared[index], 0))
            COUNT(dropped_send);
    list_paced(self, route->peer);
}

static void fan_out(struct core *self, struct source *source)
{
    struct queued prepared[BATCH];
    for (uint32_t index = 0; index < source->group_count; index++) {
        struct group *group = &source->groups[index];
        uint32_t count = prepare(self, source->queued, source->queued_count, &group->renumbering, prepared);
        for (uint32_t each = 0; each < group->count; each++)
            if (group->routes[each]->shaper || group->routes[each]->peer->pacer)
                shape_and_pace(self, group->routes[each], prepared, count);
            else
                send_run(self, group->routes[each], prepared, count);
    }
    source->queued_count = source->displaced_count = 0;
}

/* --- routes ---------------------------------------------------------------------------------------------------------- */

/* Started routes by their renumbering of extensions; call after any change. Groups have room for all routes. */
static void regroup(struct source *source)
{
    source->group_count = source->waiting = 0;
    for (uint32_t index = 0; index < source->route_count; index++) {
        struct route *route = source->routes[index];
        if (!route->started || route->paused) {
            source->waiting += !route->paused;
            continue;
        }
        uint32_t place = 0;
        while (place < source->group_count &&
               memcmp(&source->groups[place].renumbering, &route->agreed.renumbering, sizeof(struct renumbering)))
            place++;
        struct group *group = &source->groups[place];
        if (place == source->group_count) {
            group->renumbering = route->agreed.renumbering;
            group->count = 0;
            source->group_count++;
        }
        group->count++;
    }
    /* One array holds all groups' routes, one group behind the other. */
    struct route **at = source->routes + source->route_room;
    for (uint32_t place = 0; place < source->group_count; place++) {
        source->groups[place].routes = at;
        at += source->groups[place].count;
        source->groups[place].count = 0;
    }
    for (uint32_t index = 0; index < source->route_count; index++) {
        struct route *route = source->routes[index];
        if (!route->started || route->paused)
            continue;
        struct group *group = source->groups;
        while (memcmp(&group->renumbering, &route->agreed.renumbering, sizeof(struct renumbering)))
            group++;
        group->routes[group->count++] = route;
    }
}

static int make_route_room(struct source *source)
{
    if (source->route_count < source->route_room)
        return 1;
    uint32_t room = source->route_room ? source->route_room * 2 : 4;
    struct route **routes = malloc(2 * (size_t)room * sizeof *routes);
    struct group *groups = realloc(source->groups, (size_t)room * sizeof *groups);
    if (groups)
        source->groups = groups;
    if (!routes || !groups) {
        free(routes);
        return 0;
    }
    if (source->route_count)
        memcpy(routes, source->routes, source->route_count * sizeof *routes);
    free(source->routes);
    source->routes = routes, source->route_room = room;
    return 1;
}

/* In the list of those towards its peer. */
static int keep_route(struct peer *peer, struct route *route)
{
    if (peer->route_count == peer->route_room) {
        uint32_t room = peer->route_room ? peer->route_room * 2 : 2;
        struct route **grown = realloc(peer->routes, room * sizeof(struct route *));
        if (!grown)
            return 0;
        peer->routes = grown, peer->route_room = room;
    }
    peer->routes[peer->route_count++] = route;
    return 1;
}

struct route *route_new(struct forwarder *forwarder, int64_t number, struct source *source, struct peer *peer,
                        const struct agreement *agreed, uint32_t first_sequence, uint32_t timestamp_shift,
                        uint32_t rtx_sequence)
{
    SELF;
    struct route *route = calloc(1, sizeof *route);
    if (!route || !make_route_room(source) || !keep_route(peer, route)) {
        free(route);
        return NULL;
    }
    route->heard.rtt_s = -1;
    route->number = number;
    route->source = source;
    route->peer = peer;
    route->agreed = *agreed;
    route->opened_at = clock_now(self);
    route->first_sequence = first_sequence;
    route->drawn_timestamp_shift = timestamp_shift;
    route->rtx_sequence = rtx_sequence;
    route->limits[0] = route->limits[1] = ALL_LAYERS;
    source->routes[source->route_count++] = route;
    regroup(source);
    return route;
}

/* What was sent under another agreement is not sent again: the same number must mean the same bytes. */
void route_agree(struct route *route, const struct agreement *agreed)
{
    route->agreed = *agreed;
    route->resend_count = 0;
    if (route->peer->pacer)
        pacer_drop(route->peer->pacer, route);
    if (route->shaper)
        shaper_agree(route->shaper, (uint8_t)agreed->descriptor);
    else if (route->started)
        route->start = route->source->last_number + 1;
    regroup(route->source);
}

static uint32_t without(struct route **routes, uint32_t count, const struct route *route)
{
    uint32_t left = 0;
    for (uint32_t index = 0; index < count; index++)
        if (routes[index] != route)
            routes[left++] = routes[index];
    return left;
}

static void take_back(struct route *route)
{
    struct source *pending = route->pending;
    if (pending)
        pending->switching_count = without(pending->switching, pending->switching_count, route);
    route->pending = NULL;
}

void route_free(struct route *route)
{
    struct source *source = route->source;
    take_back(route);
    if (route->peer->pacer)
        pacer_drop(route->peer->pacer, route);
    source->route_count = without(source->routes, source->route_count, route);
    route->peer->route_count = without(route->peer->routes, route->peer->route_count, route);
    regroup(source);
    shaper_free(route->shaper);
    free(route->resends);
    free(route);
}

static const struct packet *kept(const struct source *source, int64_t number)
{
    const struct packet *packet = &source->ring[(uint64_t)number & source->ring_mask];
    return packet->number == number && number >= 0 ? packet : NULL;
}

static struct queued queue_of(const struct packet *packet)
{
    return (struct queued){.number = packet->number, .bytes = packet->bytes, .size = packet->size,
                           .timestamp = read32(packet->bytes + 4),
                           .marker = packet->bytes[1] & 0x80};
}

/* The route's shaper, made when it is first needed; NULL without memory. */
static struct shaper *shape(struct core *self, struct route *route)
{
    struct source *source = route->source;
    if (route->shaper)
        return route->shaper;
    if (source->queued_count)
        fan_out(self, source);
    route->shaper = shaper_new((enum codec)source->codec, source->clock_rate, source->number, route->start,
                               (uint8_t)route->agreed.descriptor);
    if (!route->shaper)
        return NULL;
    const struct packet *sent = route->packets ? kept(source, source->last_number) : NULL;
    if (sent && source->last_number >= route->start)
        shaper_resume(route->shaper, source->last_number, source->last_timestamp, sent->bytes, sent->size,
                      source->last_new);
    route->start = 0;
    return route->shaper;
}

static void start_route(struct core *self, struct route *route, int64_t number)
{
    route->started = 1;
    route->start = number;
    route->sequence_shift = (int64_t)route->first_sequence - number;
    route->timestamp_shift = route->drawn_timestamp_shift;
    if ((route->limits[0] != ALL_LAYERS || route->limits[1] != ALL_LAYERS) && shape(self, route))
        shaper_limit(route->shaper, route->limits[0], route->limits[1]);
}

/* Whether the newest group of pictures is whole, short and young enough to be replayed. */
static int short_group(const struct core *self, const struct source *source)
{
    int64_t first = source->key_number, last = source->last_number;
    if (first < 0 || clock_now(self) - source->key_at > FAST_START_S || last - first >= FAST_START_PACKETS)
        return 0;
    if (last - first >= (int64_t)source->ring_mask + 1)
        return 0;
    for (int64_t number = first; number <= last; number++)
        if (!kept(source, number))
            return 0;
    return 1;
}

static void replay(struct core *self, struct route *route)
{
    struct source *source = route->source;
    int64_t number = source->key_number;
    while (number <= source->last_number) {
        struct queued packets[BATCH], prepared[BATCH];
        uint32_t count = 0;
        for (; number <= source->last_number && count < self->run_packets; number++)
            packets[count++] = queue_of(kept(source, number));
        count = prepare(self, packets, count, &route->agreed.renumbering, prepared);
        shape_and_pace(self, route, prepared, count);
    }
    flush(self);
}

/* Start what can start now: sound, and pictures whose group is short enough to be replayed. */
void begin(struct forwarder *forwarder, struct route *route)
{
    SELF;
    struct source *source = route->source;
    if (route->started || route->paused)
        return;
    if (!source->video) {
        start_route(self, route, source->last_number + 1);
        regroup(source);
        return;
    }
    if (!short_group(self, source))
        return;
    start_route(self, route, source->key_number);
    regroup(source);
    COUNT(fast_starts);
    replay(self, route);
}

void start_impatient(struct forwarder *forwarder, struct source *source, double now, double patience_s)
{
    SELF;
    if (!source->last_arrival || source->keyframes)
        return;
    for (uint32_t index = 0; index < source->route_count; index++) {
        struct route *route = source->routes[index];
        if (!route->started && !route->paused && now - route->opened_at > patience_s && route->peer->send_context)
            start_route(self, route, source->last_number + 1);
    }
    regroup(source);
}

static int grants(struct route *route, int64_t number, double now)
{
    struct resend entry = {number, -RESEND_PAUSE_S, 0};
    double rtt = route->peer->estimate ? route->peer->estimate->rtt_s : RESEND_PAUSE_S;
    double pause = fmin(RESEND_PAUSE_S, fmax(LEAST_RESEND_PAUSE_S, rtt));
    if (!route->resends && !(route->resends = malloc((RESEND_MEMORY + 1) * sizeof *route->resends)))
        return 0;
    for (uint32_t index = route->resend_count; index-- > 0;)
        if (route->resends[index].number == number) {
            entry = route->resends[index];
            memmove(route->resends + index, route->resends + index + 1,
                    (route->resend_count - index - 1) * sizeof entry);
            route->resend_count--;
            break;
        }
    int granted = entry.tries < RESEND_TRIES && now - entry.last >= pause;
    if (granted)
        entry.tries++, entry.last = now;
    route->resends[route->resend_count++] = entry;
    if (route->resend_count > RESEND_MEMORY)
        memmove(route->resends, route->resends + 1, --route->resend_count * sizeof entry);
    return granted;
}

/* The original, rewritten for this route, wrapped (RFC 4588). */
static void send_rtx(struct core *self, struct route *route, const struct queued *packet)
{
    uint8_t *out = self->original;
    size_t start, end;
    if (!payload_range(packet->bytes, packet->size, &start, &end))
        return;
    memcpy(out, packet->bytes, start);
    out[0] &= (uint8_t)~0x20;
    out[1] = packet->marker | (uint8_t)route->agreed.rtx_payload_type;
    write16(out + 2, route->rtx_sequence);
    write32(out + 4, packet->timestamp + route->timestamp_shift);
    write32(out + 8, route->agreed.rtx_ssrc);
    write16(out + start, (uint32_t)((packet->number + route->sequence_shift) & 0xFFFF));
    memcpy(out + start + 2, packet->bytes + start, end - start);
    for (uint32_t patch = 0; patch < packet->patches; patch++)
        out[packet->patch_at[patch] + 2] = packet->patch[patch];
    route->rtx_sequence = (route->rtx_sequence + 1) & 0xFFFF;
    if (!route->peer->pacer) {
        send_plain(self, route, out, (uint32_t)(end + 2));
        return;
    }
    struct queued ready = {.bytes = out, .size = (uint32_t)(end + 2)};
    if (!pacer_push(route->peer->pacer, REPAIR, route, &ready, 1))
        COUNT(dropped_send);
    list_paced(self, route->peer);
}

static const struct source *source_of(const struct core *self, int64_t number)
{
    const struct source *source = self->sources;
    while (source && source->number != number)
        source = source->next;
    return source;
}

void resend(struct forwarder *forwarder, struct route *route, const uint16_t *sequences, uint32_t count)
{
    SELF;
    struct source *source = route->source;
    double now = clock_now(self);
    self->open.counters.nacks_in += count;
    if (!route->started || (route->agreed.renumbering.transport && route->agreed.rtx_payload_type < 0))
        return;
    for (uint32_t index = 0; index < count; index++) {
        const struct segment *segment = NULL;
        int64_t newest = route->shaper ? shaper_sent(route->shaper) : source->last_number;
        int64_t outgoing = nearest16((int64_t)sequences[index] - route->sequence_shift, newest), number = outgoing;
        const struct source *from = source;
        if (route->shaper) {
            segment = shaper_find(route->shaper, outgoing, &number);
            from = segment ? source_of(self, segment->source) : NULL;
        } else if (number < route->start || number > source->last_number) {
            continue;
        }
        const struct packet *packet = from ? kept(from, number) : NULL;
        if (!packet || !grants(route, outgoing, now))
            continue;
        struct queued found = queue_of(packet), prepared[1];
        if (!prepare(self, &found, 1, &route->agreed.renumbering, prepared))
            continue;
        if (segment)
            prepared[0] = shaper_again(route->shaper, segment, prepared);
        if (route->agreed.rtx_payload_type >= 0)
            send_rtx(self, route, prepared);
        else
            send_run(self, route, prepared, 1);
        route->resent++;
        COUNT(packets_resent);
    }
    flush(self);
}

/* About so many bytes of the newest packets again, as repairs; gives the bytes. */
uint32_t pad(struct forwarder *forwarder, struct route *route, uint32_t size)
{
    SELF;
    struct source *source = route->source;
    if (!route->agreed.renumbering.transport || route->agreed.rtx_payload_type < 0 || !route->started || route->paused)
        return 0;
    int64_t newest = route->shaper ? shaper_sent(route->shaper) : source->last_number;
    uint32_t padded = 0;
    for (int back = 0; back < MAX_PADDING_PACKETS && padded < size; back++) {
        int64_t number = newest - back % PADDING_PACKETS;
        const struct segment *segment = NULL;
        if (route->shaper) {
            segment = shaper_find(route->shaper, number, &number);
            if (!segment || segment->source != source->number)
                continue;
        }
        const struct packet *packet = number >= route->start ? kept(source, number) : NULL;
        if (!packet)
            continue;
        struct queued found = queue_of(packet), prepared[1];
        if (!prepare(self, &found, 1, &route->agreed.renumbering, prepared))
            continue;
        if (segment)
            prepared[0] = shaper_again(route->shaper, segment, prepared);
        send_rtx(self, route, prepared);
        padded += prepared[0].size;
    }
    flush(self);
    return padded;
}

/* --- routes that change their source, pause, or leave layers out --------------------------------------------------- */

static int move_route(struct route *route, struct source *source)
{
    struct source *before = route->source;
    if (before != source) {
        if (!make_route_room(source))
            return 0;
        before->route_count = without(before->routes, before->route_count, route);
        regroup(before);
        source->routes[source->route_count++] = route;
        route->source = source;
    }
    regroup(source);
    return 1;
}

static void enter(struct core *self, struct route *route, struct source *source, int64_t number, uint32_t timestamp,
                  const uint8_t *packet, size_t size, double now)
{
    struct shaper *shaper = shape(self, route);
    if (!shaper || !make_route_room(source))
        return;
    if (route->source->queued_count && route->source != source)
        fan_out(self, route->source);
    shaper_enter(shaper, source->number, number, timestamp, packet, size, route->has_lag ? &route->lag : NULL, now);
    route->pending = NULL;
    route->paused = 0;
    move_route(route, source);
}

/* Routes that waited for this source go on with this packet. */
static void go_over(struct core *self, struct source *source, int64_t number, uint32_t timestamp,
                    const uint8_t *packet, size_t size, double now)
{
    uint32_t count = source->switching_count;
    source->switching_count = 0;
    for (uint32_t index = 0; index < count; index++)
        enter(self, source->switching[index], source, number, timestamp, packet, size, now);
}

/* At the beginning of a key frame: routes that send nothing now do not wait until it is whole. */
static void go_over_hurried(struct core *self, struct source *source, const uint8_t *packet, size_t size, double now)
{
    uint32_t count = source->switching_count;
    source->switching_count = 0;
    for (uint32_t index = 0; index < count; index++) {
        struct route *route = source->switching[index];
        if (route->paused || now - route->source->last_new > QUIET_S) {
            enter(self, route, source, source->key_number, (uint32_t)source->key_timestamp, packet, size, now);
        } else {
            route->keyed = 1;
            source->switching[source->switching_count++] = route;
        }
    }
}

/* Whether all packets of the newest key frame are here. */
static int is_whole(const struct source *source)
{
    for (int64_t number = source->key_number; number <= source->last_number; number++) {
        const struct packet *packet = kept(source, number);
        if (!packet || read32(packet->bytes + 4) != (uint32_t)source->key_timestamp)
            return 0;
        if (packet->bytes[1] & 0x80)
            return 1;
    }
    return 0;
}

enum whom { NOBODY, KEYED, EVERYBODY };

/* Who may go on with this source now that this packet of it came. */
static enum whom who_goes(const struct source *source, int64_t number, int marker, uint32_t timestamp, double now)
{
    if (source->key_number < 0 || !kept(source, source->key_number))
        return NOBODY;
    if ((int64_t)timestamp != source->key_timestamp)
        return now - source->key_at > WHOLE_S ? KEYED : NOBODY;
    if (marker || number < source->last_number)
        return is_whole(source) ? EVERYBODY : NOBODY;
    return number - source->key_number >= ((int64_t)source->ring_mask + 1) / 2 ? KEYED : NOBODY;
}

/* From the newest key frame on, as far as it is here. */
static void replay_kept(struct core *self, struct route *route)
{
    const struct source *source = route->source;
    for (int64_t number = source->key_number; number <= source->last_number;) {
        struct queued packets[BATCH], prepared[BATCH];
        uint32_t count = 0;
        for (; number <= source->last_number && count < self->run_packets; number++)
            if (kept(source, number))
                packets[count++] = queue_of(kept(source, number));
        count = prepare(self, packets, count, &route->agreed.renumbering, prepared);
        shape_and_pace(self, route, prepared, count);
    }
    flush(self);
}

/* Routes that send something now go on with this source when a key frame is here as a whole, so that what they send is
 * seen until then; or when it will not be whole soon. */
static void go_over_whole(struct core *self, struct source *source, int64_t number, int marker, uint32_t timestamp,
                          double now)
{
    enum whom whom = who_goes(source, number, marker, timestamp, now);
    uint32_t going = 0;
    for (uint32_t index = 0; index < source->switching_count; index++)
        going += whom == EVERYBODY || (whom == KEYED && source->switching[index]->keyed);
    if (!going)
        return;
    if (source->queued_count)
        fan_out(self, source);
    uint32_t count = source->switching_count;
    source->switching_count = 0;
    for (uint32_t index = 0; index < count; index++) {
        struct route *route = source->switching[index];
        if (whom == EVERYBODY || route->keyed) {
            const struct packet *first = kept(source, source->key_number);
            enter(self, route, source, source->key_number, (uint32_t)source->key_timestamp, first->bytes, first->size,
                  source->key_at);
            if (route->source == source)
                replay_kept(self, route);
        } else {
            source->switching[source->switching_count++] = route;
        }
    }
}

uint32_t awaited(const struct source *source)
{
    uint32_t count = source->waiting;
    for (uint32_t index = 0; index < source->switching_count; index++)
        count += !source->switching[index]->keyed;
    return count;
}

/* A route that has sent nothing since a key frame in the ring need not wait for another. */
static void go_over_early(struct core *self, struct route *route, struct source *source)
{
    if (!source->video || !short_group(self, source) || !shape(self, route))
        return;
    const int64_t *lag = route->has_lag ? &route->lag : NULL;
    if (shaper_ahead(route->shaper, (uint32_t)source->key_timestamp, lag, source->key_at) <= 0)
        return;
    const struct packet *first = kept(source, source->key_number);
    source->switching_count = without(source->switching, source->switching_count, route);
    enter(self, route, source, source->key_number, (uint32_t)source->key_timestamp, first->bytes, first->size,
          source->key_at);
    COUNT(fast_starts);
    replay(self, route);
}

/* `source` NULL = pause. 0 without memory. */
int switch_route(struct forwarder *forwarder, struct route *route, struct source *source, const int64_t *lag)
{
    SELF;
    take_back(route);
    if (!source) {
        if (route->started) {
            if (!shape(self, route))
                return 0;
            shaper_forget(route->shaper);
            if (route->peer->pacer)
                pacer_drop(route->peer->pacer, route);
        }
        route->paused = 1;
        regroup(route->source);
    } else if (!route->started) {
        route->paused = 0;
        if (!move_route(route, source))
            return 0;
        if (route->peer->send_context)
            begin(forwarder, route);
    } else if (source != route->source || route->paused) {
        if (source->switching_count == source->switching_room) {
            uint32_t room = source->switching_room ? source->switching_room * 2 : 4;
            struct route **grown = realloc(source->switching, room * sizeof(struct route *));
            if (!grown)
                return 0;
            source->switching = grown, source->switching_room = room;
        }
        route->pending = source;
        route->keyed = 0;
        route->has_lag = lag != NULL;
        route->lag = lag ? *lag : 0;
        source->switching[source->switching_count++] = route;
        go_over_early(self, route, source);
    }
    flush(self);
    return 1;
}

int limit_route(struct forwarder *forwarder, struct route *route, int32_t temporal, int32_t spatial)
{
    SELF;
    route->limits[0] = temporal, route->limits[1] = spatial;
    if (!route->started || (!route->shaper && temporal == ALL_LAYERS && spatial == ALL_LAYERS))
        return 1;
    if (!shape(self, route))
        return 0;
    shaper_limit(route->shaper, temporal, spatial);
    flush(self);
    return 1;
}

/* From its present source's time to its own. */
uint32_t route_timestamp_shift(const struct route *route)
{
    return route->timestamp_shift + (route->shaper ? shaper_timestamp_shift(route->shaper) : 0);
}

/* --- sources --------------------------------------------------------------------------------------------------------- */

static void reset_reception(struct reception *reception)
{
    memset(reception, 0, sizeof *reception);
    reception->highest = reception->suspect = -1;
}

struct source *source_new(struct forwarder *forwarder, int64_t number, struct peer *peer, int32_t codec, int32_t video,
                          uint32_t clock_rate, int32_t payload_type, int32_t rtx_payload_type, uint32_t cache_packets)
{
    SELF;
    uint64_t size = 1;
    while (size < cache_packets)
        size *= 2;
    struct source *source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    source->ring = calloc(size, sizeof *source->ring);
    source->gaps = malloc(MAX_MISSING * sizeof *source->gaps);
    source->queued = malloc(BATCH * sizeof *source->queued);
    source->displaced = calloc(BATCH, sizeof *source->displaced);
    if (!source->ring || !source->gaps || !source->queued || !source->displaced) {
        free(source->ring), free(source->gaps), free(source->queued), free(source->displaced), free(source);
        return NULL;
    }
    for (uint64_t place = 0; place < size; place++)
        source->ring[place].number = -1;
    source->ring_mask = size - 1;
    source->number = number;
    source->peer = peer;
    source->codec = codec, source->video = video, source->clock_rate = clock_rate;
    source->payload_type = payload_type, source->rtx_payload_type = rtx_payload_type;
    source->last_number = source->key_number = source->key_timestamp = -1;
    reset_reception(&source->reception);
    source->next = self->sources;
    self->sources = source;
    return source;
}

/* Its routes are closed before. */
void source_free(struct forwarder *forwarder, struct source *source)
{
    SELF;
    struct source **link = &self->sources;
    while (*link != source)
        link = &(*link)->next;
    *link = source->next;
    while (source->switching_count)
        take_back(source->switching[0]);
    struct peer *peer = source->peer;
    uint32_t left = 0;
    for (uint32_t index = 0; index < peer->binding_count; index++)
        if (peer->bindings[index].source != source)
            peer->bindings[left++] = peer->bindings[index];
    peer->binding_count = left;
    for (uint64_t place = 0; place <= source->ring_mask; place++)
        free(source->ring[place].bytes);
    for (uint32_t place = 0; place < BATCH; place++)
        free(source->displaced[place].bytes);
    free(source->ring), free(source->gaps), free(source->queued), free(source->routes), free(source->groups);
    free(source->switching), free(source->displaced), free(source);
}

static struct source *bound(const struct peer *peer, uint32_t ssrc, int rtx)
{
    for (uint32_t index = 0; index < peer->binding_count; index++)
        if (peer->bindings[index].ssrc == ssrc && peer->bindings[index].rtx == rtx)
            return peer->bindings[index].source;
    return NULL;
}

/* Forgets an SSRC, or with `source` all of its bindings of this sort. */
static void unbind(struct peer *peer, uint32_t ssrc, const struct source *source, int rtx)
{
    uint32_t left = 0;
    for (uint32_t index = 0; index < peer->binding_count; index++) {
        struct binding *each = &peer->bindings[index];
        if (each->rtx != rtx || (source ? each->source != source : each->ssrc != ssrc))
            peer->bindings[left++] = *each;
    }
    peer->binding_count = left;
}

int bind_stream(struct peer *peer, uint32_t ssrc, struct source *source, int32_t rtx)
{
    if (peer->binding_count + 1 > peer->binding_room) {
        uint32_t room = peer->binding_room ? peer->binding_room * 2 : 4;
        struct binding *grown = realloc(peer->bindings, room * sizeof *grown);
        if (!grown)
            return 0;
        peer->bindings = grown, peer->binding_room = room;
    }
    if (rtx) {
        unbind(peer, 0, source, 1);
    } else if (source->ssrc != ssrc) {
        /* The track goes on with another SSRC: numbers continue, and so does time, roughly. */
        unbind(peer, source->ssrc, NULL, 0);
        source->ssrc = ssrc;
        if (source->reception.highest >= 0) {
            reset_reception(&source->reception);
            source->resumes = source->retimes = 1;
        }
    }
    unbind(peer, ssrc, NULL, rtx);
    peer->bindings[peer->binding_count++] = (struct binding){ssrc, rtx, source};
    return 1;
}

void mute(struct source *source, int32_t muted)
{
    if (source->muted && !muted)
        source->resumes = 1;
    source->muted = muted;
}

/* --- loss and jitter (media.feedback) ---------------------------------------------------------------------------------- */

static void filled(struct source *source, int64_t number)
{
    struct reception *reception = &source->reception;
    for (uint32_t index = 0; index < reception->gap_count; index++)
        if (source->gaps[index].number == number) {
            memmove(source->gaps + index, source->gaps + index + 1,
                    (reception->gap_count - index - 1) * sizeof *source->gaps);
            reception->gap_count--;
            return;
        }
}

static void jumped(struct source *source, int64_t extended, double now)
{
    struct reception *reception = &source->reception;
    int64_t highest = reception->highest;
    if (extended - highest > MAX_DROPOUT) { /* the sender began anew: nothing between was ever sent */
        reception->base += extended - highest - 1;
        reception->gap_count = 0;
    } else if (extended - highest - 1 + (int64_t)reception->gap_count > MAX_MISSING) {
        reception->outages++;
        reception->gap_count = 0;
    } else {
        for (int64_t number = highest + 1; number < extended; number++)
            source->gaps[reception->gap_count++] = (struct gap){number, now, now + NACK_FIRST_S, 0};
    }
    reception->highest = extended;
}

/* A packet that others overtook, or, when two in a row are far behind, a sender that began anew. */
static int64_t behind(struct source *source, uint32_t sequence, int64_t extended)
{
    struct reception *reception = &source->reception;
    if (reception->highest - extended <= MAX_DROPOUT) {
        filled(source, extended);
    } else if ((int64_t)sequence == reception->suspect) {
        int64_t restarted = extended + 0x10000;
        reception->base += restarted - reception->highest - 1;
        reception->gap_count = 0;
        reception->highest = restarted;
        return restarted;
    } else {
        reception->suspect = (sequence + 1) & 0xFFFF;
    }
    return extended;
}

static int64_t arrived(struct source *source, uint32_t sequence, uint32_t timestamp, double now)
{
    struct reception *reception = &source->reception;
    int64_t highest = reception->highest, extended;
    double transit = now * source->clock_rate - timestamp;
    reception->received++;
    if (highest < 0) { /* one cycle up, so that packets from before the first one stay positive */
        extended = (int64_t)sequence + 0x10000;
        reception->highest = reception->base = extended;
        reception->transit = transit;
        reception->has_transit = 1;
        return extended;
    }
    int64_t ahead = ((int64_t)sequence - highest) & 0xFFFF;
    if (ahead >= 0x8000)
        return behind(source, sequence, highest + ahead - 0x10000);
    extended = highest + ahead;
    if (ahead == 1)
        reception->highest = extended;
    else if (ahead)
        jumped(source, extended, now);
    if (reception->has_transit) {
        double difference = fabs(transit - reception->transit);
        if (difference < 0x40000000)
            reception->jitter += (difference - reception->jitter) / 16;
    }
    reception->transit = transit;
    reception->has_transit = 1;
    return extended;
}

static int by_number(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

uint32_t missing(struct forwarder *forwarder, struct source *source, double now, uint16_t *sequences)
{
    SELF;
    uint64_t asked[MAX_MISSING];
    uint32_t count = 0, left = 0;
    for (uint32_t index = 0; index < source->reception.gap_count; index++) {
        struct gap gap = source->gaps[index];
        if (gap.ask_at <= now) {
            if (gap.tries >= NACK_TRIES || now - gap.since > NACK_MAX_AGE_S)
                continue;
            gap.tries++;
            gap.ask_at = now + NACK_REPEAT_S;
            asked[count++] = (uint64_t)gap.number;
        }
        source->gaps[left++] = gap;
    }
    source->reception.gap_count = left;
    qsort(asked, count, sizeof *asked, by_number);
    for (uint32_t index = 0; index < count; index++)
        sequences[index] = (uint16_t)asked[index];
    self->open.counters.nacks_out += count;
    return count;
}

/* --- the way of a packet ----------------------------------------------------------------------------------------------- */

static struct handed *hand(struct core *self, enum kind kind, int64_t number, const uint8_t *bytes, size_t size)
{
    struct handed *handed = &self->open.handed[self->open.handed_count++];
    handed->kind = kind;
    handed->number = number;
    handed->bytes = bytes;
    handed->size = (uint32_t)size;
    return handed;
}

static void note_from(struct core *self, struct handed *handed, uint32_t index)
{
    uint32_t length = self->incoming[index].msg_hdr.msg_namelen;
    handed->from.length = length < sizeof handed->from.bytes ? length : sizeof handed->from.bytes;
    memcpy(handed->from.bytes, &self->from[index], handed->from.length);
}

/* The first packet after a mute or with another SSRC follows the last one that was sent on. */
static void resume(struct source *source, int64_t extended, uint32_t timestamp, double now)
{
    source->resumes = 0;
    source->first = extended;
    if (source->last_number < 0)
        return;
    source->offset = source->last_number + 1 - extended;
    source->seams++;
    if (source->retimes) {
        source->retimes = 0;
        int64_t elapsed = (int64_t)((now - source->last_new) * source->clock_rate);
        source->timestamp_shift = (uint32_t)(source->last_timestamp + (uint64_t)elapsed - timestamp);
    }
}

static void keyframe(struct core *self, struct source *source, int64_t number, uint32_t timestamp,
                     const uint8_t *packet, size_t size, double now)
{
    if ((int64_t)timestamp == source->key_timestamp) {
        if (number < source->key_number)
            source->key_number = number;
        return;
    }
    source->keyframes++;
    COUNT(keyframes);
    source->key_number = number;
    source->key_timestamp = timestamp;
    source->key_at = now;
    if (source->waiting) {
        for (uint32_t index = 0; index < source->route_count; index++) {
            struct route *route = source->routes[index];
            if (!route->started && !route->paused && route->peer->send_context)
                start_route(self, route, number);
        }
        regroup(source);
    }
    if (source->switching_count)
        go_over_hurried(self, source, packet, size, now);
}

/* With the track's own timestamp, whatever its SSRC was. */
static int put(struct source *source, int64_t number, uint32_t timestamp, const uint8_t *bytes, size_t size)
{
    struct packet *place = &source->ring[(uint64_t)number & source->ring_mask];
    if (place->number >= number)
        return 0;
    for (uint32_t index = 0; index < source->queued_count; index++)
        if (source->queued[index].bytes == place->bytes) { /* not sent on yet */
            struct packet *room = &source->displaced[source->displaced_count++], old = *place;
            *place = *room, *room = old;
            place->number = -1;
            break;
        }
    if (size > place->room) {
        uint32_t room = ((uint32_t)size + 127) & ~(uint32_t)127;
        uint8_t *grown = realloc(place->bytes, room);
        if (!grown)
            return 0;
        place->bytes = grown, place->room = room;
    }
    place->number = number;
    memcpy(place->bytes, bytes, size);
    write32(place->bytes + 4, timestamp);
    place->size = (uint32_t)size;
    return 1;
}

static void note_level(struct source *source, const uint8_t *bytes, size_t size)
{
    const uint8_t *value;
    if (extension(bytes, size, (uint8_t)source->level_extension, &value) && source->level_count < MAX_LEVELS)
        source->levels[source->level_count++] = value[0];
}

/* `bytes` is the packet, `tappable` its payload where Python may still read it after this call. */
static void store(struct core *self, struct source *source, const uint8_t *bytes, size_t size, int64_t extended,
                  double now, const uint8_t *tappable)
{
    size_t start, end;
    if (source->muted) {
        COUNT(dropped_muted);
        return;
    }
    uint32_t timestamp = read32(bytes + 4);
    if (source->resumes)
        resume(source, extended, timestamp, now);
    if (extended < source->first) {
        COUNT(dropped_late);
        return;
    }
    if (!payload_range(bytes, size, &start, &end)) {
        COUNT(dropped_rtp);
        return;
    }
    int64_t number = extended + source->offset;
    timestamp += source->timestamp_shift;
    if (!put(source, number, timestamp, bytes, size)) {
        COUNT(dropped_duplicate);
        return;
    }
    if (number > source->last_number) {
        source->last_number = number;
        source->last_timestamp = timestamp;
        source->last_new = now;
    }
    if (source->video) {
        if (end > start && is_keyframe_start((enum codec)source->codec, bytes + start, end - start))
            keyframe(self, source, number, timestamp, bytes, size, now);
    } else {
        if (source->switching_count)
            go_over(self, source, number, timestamp, bytes, size, now);
        if (source->level_extension)
            note_level(source, bytes, size);
    }
    if (source->tapped) {
        struct handed *handed = hand(self, TAPPED, source->number, tappable, end - start);
        handed->marker = bytes[1] > 127;
        handed->timestamp = timestamp;
        handed->sequence = (uint16_t)(number + source->seams);
    }
    if (!source->listed) {
        source->listed = 1;
        self->listed[self->listed_count++] = source;
    }
    if (!source->queued_count)
        source->queued_at = now;
    source->queued[source->queued_count++] = queue_of(kept(source, number));
    if (source->queued_count >= self->run_packets)
        fan_out(self, source);
    if (source->switching_count && source->video)
        go_over_whole(self, source, number, bytes[1] > 127, timestamp, now);
}

static void keep(struct core *self, struct source *source, const uint8_t *packet, size_t size)
{
    size_t start = 0, end = 0;
    if ((packet[1] & 0x7F) != source->payload_type) {
        COUNT(dropped_payload_type);
        return;
    }
    double now = clock_now(self);
    int64_t expected = source->reception.highest + 1;
    int64_t extended = arrived(source, read16(packet + 2), read32(packet + 4), now);
    if (extended > expected) {
        source->gapped = 1;
        self->open.gaps_opened++;
        if (extended - expected > MAX_DROPOUT)
            source->resumes = 1; /* a jump this wide would cost receivers their rollover count */
    }
    source->last_arrival = now;
    source->octets += (int64_t)size;
    (void)payload_range(packet, size, &start, &end);
    store(self, source, packet, size, extended, now, packet + start);
}

/* A retransmission in a stream of its own (RFC 4588). 0 where the SSRC is no such stream's. */
static int repair(struct core *self, struct peer *peer, const uint8_t *packet, size_t size)
{
    struct source *source = bound(peer, read32(packet + 8), 1);
    size_t start, end;
    if (!source)
        return 0;
    if (!payload_range(packet, size, &start, &end)) {
        COUNT(dropped_rtp);
        return 1;
    }
    if (end - start < 2 || (packet[1] & 0x7F) != source->rtx_payload_type || source->muted)
        return 1;
    uint32_t sequence = read16(packet + start);
    if (source->reception.highest < 0)
        return 1;
    int64_t extended = nearest16(sequence, source->reception.highest);
    if (extended > source->reception.highest || kept(source, extended + source->offset))
        return 1;
    uint8_t *original = self->original;
    memcpy(original, packet, start);
    original[0] &= (uint8_t)~0x20;
    original[1] = (uint8_t)((packet[1] & 0x80) | source->payload_type);
    write16(original + 2, sequence);
    write32(original + 8, source->ssrc);
    memcpy(original + start, packet + start + 2, end - start - 2);
    COUNT(packets_repaired);
    source->reception.received++;
    filled(source, extended);
    store(self, source, original, end - 2, extended, clock_now(self), packet + start + 2);
    return 1;
}

static void media(struct core *self, struct peer *peer, uint32_t index, uint8_t *packet, size_t received)
{
    int size = (int)received;
    if (!peer->receive_context) {
        COUNT(dropped_srtp_auth);
        return;
    }
    int status = self->unprotect(peer->receive_context, packet, &size);
    if (status) {
        if (status == SRTP_REPLAY_FAIL || status == SRTP_REPLAY_OLD)
            COUNT(dropped_srtp_replay);
        else
            COUNT(dropped_srtp_auth);
        return;
    }
    FENCE(packet + size, received - (size_t)size);
    if (peer->transport_extension) {
        int told = transport_sequence(packet, (size_t)size, (uint8_t)peer->transport_extension);
        if (told >= 0 && peer->arrival_count < MAX_ARRIVALS)
            peer->arrivals[peer->arrival_count++] = (struct arrival){clock_now(self), (uint32_t)told, 0};
        else if (told >= 0)
            COUNT(dropped_arrivals);
    }
    struct source *source = bound(peer, read32(packet + 8), 0);
    if (source)
        keep(self, source, packet, (size_t)size);
    else if (!repair(self, peer, packet, (size_t)size))
        note_from(self, hand(self, UNBOUND, peer->number, packet, (size_t)size), index);
}

/* Whether Python should look at what is sent to this peer. */
static int is_news(const struct estimate *told, double now)
{
    return told && (now - told->congested_at < CONGESTED_S ||
                    fabs(told->estimate_bps - told->arranged_bps) > CHANGE * told->arranged_bps);
}

/* Reports of a subscriber under the SSRC of those before are taken here. Each other goes to Python, which counts SSRCs. */
static int take(struct core *self, struct peer *peer, uint32_t index, const uint8_t *packet, size_t size)
{
    if (!peer->route_count || size < 8)
        return 0;
    uint32_t ssrc = read32(packet + 4);
    if (!peer->has_report_ssrc || ssrc != peer->report_ssrc) {
        peer->has_report_ssrc = 1, peer->report_ssrc = ssrc;
        return 0;
    }
    double now = clock_now(self);
    int taken = take_reports(peer, packet, size, now);
    if (!taken)
        return 0;
    if (taken < 0)
        self->open.counters.dropped_rtcp += (uint64_t)-taken;
    peer->heard_at = now;
    if (is_news(peer->estimate, now))
        note_from(self, hand(self, NEWS, peer->number, packet, 0), index);
    return 1;
}

static void control(struct core *self, struct peer *peer, uint32_t index, uint8_t *packet, size_t received)
{
    int size = (int)received;
    if (!peer->receive_context || self->unprotect_rtcp(peer->receive_context, packet, &size)) {
        COUNT(dropped_srtcp);
        return;
    }
    FENCE(packet + size, received - (size_t)size);
    if (!take(self, peer, index, packet, (size_t)size))
        note_from(self, hand(self, RTCP, peer->number, packet, (size_t)size), index);
}

/* RFC 7983: STUN may come from anywhere, all else only from an address that a peer has proven. */
static void sort(struct core *self, uint32_t index)
{
    uint8_t *datagram = self->received + (size_t)index * PACKET_BYTES;
    size_t size = self->incoming[index].msg_len;
    uint64_t key[3];
    if (!size) {
        COUNT(dropped_empty);
        return;
    }
    COUNT(packets_in);
    self->open.counters.bytes_in += size;
    key_of(&self->from[index], key);
    struct peer *peer = find_address(self, key)->peer;
    uint8_t first = datagram[0];
    if (peer && first >= 128 && first <= 191 && size >= HEADER_BYTES) {
        if (datagram[1] >= 192 && datagram[1] <= 223)
            control(self, peer, index, datagram, size);
        else
            media(self, peer, index, datagram, size);
    } else if (first < 4) {
        note_from(self, hand(self, STUN, peer ? peer->number : 0, datagram, size), index);
    } else if (!peer) {
        COUNT(dropped_stranger);
    } else if (first >= 20 && first <= 63) {
        note_from(self, hand(self, DTLS, peer->number, datagram, size), index);
    } else {
        COUNT(dropped_noise);
    }
}

/* Send on what is queued; with `hold` not what may be followed by more of its picture at once. */
static void finish(struct core *self, int hold)
{
    uint32_t held = 0;
    for (uint32_t index = 0; index < self->listed_count; index++) {
        struct source *source = self->listed[index];
        if (hold && held < MAX_HELD && source->video && source->queued_count &&
            !source->queued[source->queued_count - 1].marker && clock_now(self) - source->queued_at < HOLD_S) {
            self->listed[held++] = source;
            continue;
        }
        source->listed = 0;
        if (source->queued_count)
            fan_out(self, source);
    }
    self->listed_count = self->open.held_count = held;
    flush(self);
}

void settle(struct forwarder *forwarder)
{
    SELF;
    finish(self, 0);
}

uint32_t pump(struct forwarder *forwarder)
{
    SELF;
    self->open.handed_count = 0;
    UNFENCE(self->received, RECEIVES * PACKET_BYTES);
    for (int taken = 0, tries = 0; taken < RECEIVES && tries < RECEIVES; tries++) {
        for (int index = taken; index < RECEIVES; index++)
            self->incoming[index].msg_hdr.msg_namelen = sizeof self->from[0];
        int count = recvmmsg(self->descriptor, self->incoming + taken, (unsigned)(RECEIVES - taken), MSG_DONTWAIT,
                             NULL);
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (count < 0)
            continue; /* an ICMP error of something we sent; the peer's consent decides about it */
        for (int index = taken; index < taken + count; index++) {
            size_t size = self->incoming[index].msg_len;
            FENCE(self->received + (size_t)index * PACKET_BYTES + size, PACKET_BYTES - size);
        }
        for (int index = taken; index < taken + count; index++)
            sort(self, (uint32_t)index);
        taken += count;
    }
    finish(self, 1);
    if (self->paced)
        release(forwarder, clock_now(self));
    return self->open.handed_count;
}

/* 0 where the SSRC still belongs to no source. */
int inject(struct forwarder *forwarder, struct peer *peer, const uint8_t *packet, uint32_t size)
{
    SELF;
    self->open.handed_count = 0;
    if (size < HEADER_BYTES || size > LONGEST_PLAIN)
        return 0;
    struct source *source = bound(peer, read32(packet + 8), 0);
    if (source)
        keep(self, source, packet, size);
    else if (!repair(self, peer, packet, size))
        return 0;
    finish(self, 1);
    return 1;
}

/* --- peers ------------------------------------------------------------------------------------------------------------- */

struct peer *peer_new(int64_t number)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer)
        peer->number = number, peer->transport_next = 1;
    return peer;
}

static void unlist_paced(struct core *self, struct peer *peer)
{
    struct peer **link = &self->paced;
    while (*link && *link != peer)
        link = &(*link)->next_paced;
    if (*link)
        *link = peer->next_paced;
    peer->is_paced = 0;
}

/* What may leave leaves, packets of one route together. */
static double drain(struct core *self, struct pacer *pacer, double now)
{
    struct queued run[BATCH];
    uint32_t count = 0;
    struct route *last = NULL;
    const struct waiting *waiting;
    while ((waiting = pacer_pop(pacer, now))) {
        if (last && (waiting->route != last || waiting->plain || count == self->run_packets)) {
            send_run(self, last, run, count);
            count = 0, last = NULL;
        }
        if (waiting->plain) {
            send_plain(self, waiting->route, waiting->packet.bytes, waiting->packet.size);
        } else {
            run[count++] = waiting->packet;
            last = waiting->route;
        }
    }
    if (last)
        send_run(self, last, run, count);
    return pacer_due(pacer);
}

/* When to call again; infinity while nothing waits. */
double release(struct forwarder *forwarder, double now)
{
    SELF;
    double first = INFINITY;
    struct peer *peer = self->paced;
    self->paced = NULL;
    while (peer) {
        struct peer *next = peer->next_paced;
        double due = peer->pacer ? drain(self, peer->pacer, now) : INFINITY;
        peer->is_paced = 0;
        if (due < INFINITY)
            list_paced(self, peer);
        first = due < first ? due : first;
        peer = next;
    }
    flush(self);
    return first;
}

/* 0 = as it comes. Gives 0 without memory. */
int pace(struct forwarder *forwarder, struct peer *peer, double rate_bps)
{
    SELF;
    if (peer->pacer && rate_bps > 0) {
        pacer_rate(peer->pacer, rate_bps);
    } else if (rate_bps > 0) {
        peer->pacer = pacer_new(rate_bps, clock_now(self));
        return peer->pacer != NULL;
    } else if (peer->pacer) {
        pacer_rate(peer->pacer, INFINITY);
        drain(self, peer->pacer, INFINITY);
        pacer_free(peer->pacer);
        peer->pacer = NULL;
        unlist_paced(self, peer);
        flush(self);
    }
    return 1;
}

/* Its addresses, sources and routes are gone before. */
void peer_free(struct forwarder *forwarder, struct peer *peer)
{
    SELF;
    unlist_paced(self, peer);
    pacer_free(peer->pacer);
    estimator_free(peer->estimate);
    free(peer->arrivals), free(peer->bindings), free(peer->routes), free(peer);
}

int peer_notes(struct peer *peer, int32_t extension)
{
    if (extension && !peer->arrivals && !(peer->arrivals = malloc(MAX_ARRIVALS * sizeof *peer->arrivals)))
        return 0;
    peer->transport_extension = extension;
    return 1;
}

/* 0 = sent, 1 = not protected, 2 = not sent. */
int send_rtcp(struct forwarder *forwarder, struct peer *peer, const uint8_t *packet, uint32_t size)
{
    SELF;
    int protected = (int)size;
    if (size > LONGEST_PLAIN)
        return 1;
    memcpy(self->original, packet, size);
    if (self->protect_rtcp(peer->send_context, self->original, &protected))
        return 1;
    return sendto(self->descriptor, self->original, (size_t)protected, MSG_DONTWAIT,
                  (const struct sockaddr *)peer->destination.bytes, peer->destination.length) < 0 ? 2 : 0;
}

/* Sender reports of this source's routes to peers whose number is `turn` modulo `turns`; `timestamp` is the publisher's
 * own. Gives how many. */
uint32_t send_reports(struct forwarder *forwarder, struct source *source, uint64_t ntp, uint32_t timestamp, int64_t turn,
                      int64_t turns)
{
    SELF;
    uint32_t count = 0;
    double now = clock_now(self);
    for (uint32_t index = 0; index < source->route_count; index++) {
        struct route *route = source->routes[index];
        struct peer *peer = route->peer;
        if (peer->number % turns != turn || !route->started || !route->packets || route->paused)
            continue;
        if (!peer->destination.length || !peer->send_context)
            continue;
        make_room(self, 1);
        uint8_t *at = self->arena + self->filled;
        uint32_t ours = timestamp + source->timestamp_shift + route_timestamp_shift(route);
        int size = (int)write_report(route, ntp, ours, now, at);
        if (self->protect_rtcp(peer->send_context, at, &size)) {
            COUNT(dropped_protect);
            continue;
        }
        add_message(self, peer, self->filled, (uint32_t)size, 0);
        self->filled += (uint32_t)size;
        count++;
    }
    flush(self);
    return count;
}

void forwarder_free(struct forwarder *forwarder)
{
    SELF;
    free(self->admitted), free(self->received), free(self->arena), free(self);
}

struct forwarder *forwarder_new(const struct setup *setup)
{
    struct core *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->received = malloc(RECEIVES * PACKET_BYTES);
    self->arena = malloc(ARENA);
    if (!self->received || !self->arena || !grow_addresses(self) || setup->run_packets > BATCH) {
        forwarder_free(&self->open);
        return NULL;
    }
    self->descriptor = setup->descriptor;
    self->run_packets = (uint32_t)setup->run_packets;
    self->seed = setup->seed;
    self->protect = (srtp_function)setup->protect;
    self->unprotect = (srtp_function)setup->unprotect;
    self->protect_rtcp = (srtp_function)setup->protect_rtcp;
    self->unprotect_rtcp = (srtp_function)setup->unprotect_rtcp;
    self->open.now = -1;
    for (int index = 0; index < RECEIVES; index++) {
        self->incoming_vectors[index] = (struct iovec){self->received + (size_t)index * PACKET_BYTES, PACKET_BYTES};
        self->incoming[index].msg_hdr.msg_name = &self->from[index];
        self->incoming[index].msg_hdr.msg_iov = &self->incoming_vectors[index];
        self->incoming[index].msg_hdr.msg_iovlen = 1;
    }
    for (int index = 0; index < MESSAGES; index++) {
        self->controls[index].header.cmsg_len = CMSG_LEN(sizeof(uint16_t));
        self->controls[index].header.cmsg_level = SOL_UDP;
        self->controls[index].header.cmsg_type = UDP_SEGMENT;
    }
    return &self->open;
}
