/* What Python sees of the accelerator: media/forwarder/native/binding.py reads the declarations below the line as they
 * are, so they hold plain C only. Structures that Python may look into are whole here; it writes none but those marked.
 */
#ifndef LAMPROOM_FORWARDER_H
#define LAMPROOM_FORWARDER_H

#include <stddef.h>
#include <stdint.h>
/* --- */
/* Totals, in the order of media.forwarder.interface.Counters. */
struct counters {
    uint64_t packets_in, packets_out, bytes_in, bytes_out;
    uint64_t dropped_empty, dropped_stranger, dropped_noise, dropped_stun, dropped_stun_rate, dropped_dtls;
    uint64_t dropped_srtp_auth, dropped_srtp_replay, dropped_srtcp, dropped_rtp, dropped_rtcp, dropped_unbound;
    uint64_t dropped_payload_type, dropped_muted, dropped_late, dropped_duplicate, dropped_protect, dropped_send;
    uint64_t dropped_arrivals, nacks_in, nacks_out, packets_resent, packets_repaired, keyframe_requests, keyframes;
    uint64_t fast_starts, gso_fallbacks;
};

/* A sockaddr_in or sockaddr_in6. */
struct name {
    uint8_t bytes[28];
    uint32_t length;
};

/* A datagram or payload for Python. `bytes` holds until the next call of pump or inject. */
struct handed {
    int64_t number; /* of the peer, or of the source whose payload this is */
    const uint8_t *bytes;
    uint32_t size, kind, timestamp, sequence;
    uint32_t marker;
    struct name from;
};

struct arrival {
    double at;
    uint32_t sequence, unused;
};

/* What media.bandwidth says of the way to one receiver; the rest of it is in estimate.c. */
struct estimate {
    double estimate_bps, acked_bps, rtt_s, loss; /* acked_bps < 0: nothing is known */
    double congested_at;                         /* -infinity: never */
    double arranged_bps;                         /* what all is arranged for now; written by Python */
    int32_t known;                               /* written by Python */
    int32_t numbered;
};

/* Of what a receiver said of one stream since the last call. */
struct heard {
    int64_t losses; /* sum of the shares lost, in 256ths */
    uint32_t reports, jitter;
    double rtt_s; /* below 0: not known */
};

struct peer {
    int64_t number;
    void *send_context, *receive_context; /* libsrtp's; written by Python */
    struct name destination;              /* written by Python */
    int32_t segments;                     /* whether runs may go there in one piece; written by Python */
    int32_t transport_extension;
    struct arrival *arrivals;
    uint32_t arrival_count; /* written by Python */
    uint32_t binding_count, binding_room;
    struct binding *bindings;
    struct estimate *estimate;
    double heard_at; /* when a report of its was taken last; 0: never */
    uint32_t report_ssrc, transport_next;
    int32_t has_report_ssrc;
    uint32_t route_count, route_room;
    struct route **routes;
    struct pacer *pacer;
    struct peer *next_paced;
    int32_t is_paced; /* it is in the list of those with packets that wait */
};

/* media.feedback.Reception */
struct reception {
    int64_t highest, received, base, suspect;
    int64_t expected_before, received_before; /* written by Python */
    double jitter, transit;
    int64_t outages;
    uint32_t gap_count;
    int32_t has_transit;
};

/* media.forwarder.tables.Source */
struct source {
    int64_t number;
    struct peer *peer;
    struct reception reception;
    int64_t offset, seams, first, last_number, key_number, key_timestamp, keyframes, octets;
    double last_arrival, last_new, key_at, queued_at;
    uint32_t ssrc, timestamp_shift, last_timestamp, clock_rate;
    int32_t codec, video, payload_type, rtx_payload_type;
    int32_t muted, resumes, retimes;
    int32_t tapped;          /* written by Python */
    int32_t level_extension; /* written by Python */
    uint32_t level_count;    /* written by Python */
    uint8_t levels[64];
    uint32_t waiting, route_count, route_room, group_count, queued_count, switching_count, switching_room;
    int32_t listed;
    int32_t gapped; /* written by Python */
    struct packet *ring;
    uint64_t ring_mask;
    struct gap *gaps;
    struct route **routes;
    struct group *groups;
    struct queued *queued;
    struct packet *displaced; /* room for queued packets whose place in the ring was taken */
    uint32_t displaced_count;
    struct route **switching;
    struct source *next;
};

/* Each header extension's new id, 0 = leave out, and the id of the transport-wide sequence number, 0 = none. */
struct renumbering {
    uint8_t mapping[256];
    uint8_t transport;
};

/* What is agreed for a route. */
struct agreement {
    uint32_t ssrc, rtx_ssrc;
    int32_t payload_type, rtx_payload_type;
    struct renumbering renumbering;
    int32_t descriptor; /* new id of the dependency descriptor; 0 = none */
    uint32_t cname_size;
    uint8_t cname[32];
};

/* When a sender report left, by the middle bits of its NTP time. */
struct echo {
    uint32_t middle;
    double at;
};

/* media.forwarder.tables.Route */
struct route {
    int64_t number;
    struct source *source;
    struct peer *peer;
    struct agreement agreed;
    double opened_at;
    int64_t start, sequence_shift, packets, octets, resent;
    uint32_t first_sequence, drawn_timestamp_shift, timestamp_shift, rtx_sequence;
    int32_t started, paused, limits[2];
    uint32_t resend_count;
    struct resend *resends;
    struct source *pending; /* what it switches to */
    int64_t lag;
    int32_t has_lag;
    int32_t keyed; /* a key frame of `pending` has begun since it waits */
    struct shaper *shaper;
    struct heard heard;
    uint32_t echo_count;
    struct echo echoes[8];
};

struct setup {
    int32_t descriptor, run_packets;
    uint64_t seed;
    uintptr_t protect, unprotect, protect_rtcp, unprotect_rtcp; /* libsrtp's functions */
};

struct forwarder {
    struct counters counters; /* Python takes them and sets them to 0 */
    double now;               /* written by Python: a clock of its own, or below 0 for the machine's */
    uint32_t gaps_opened;     /* how often a packet was missed; written by Python */
    uint32_t held_count;      /* sources of which packets wait for the rest of their picture */
    uint32_t handed_count;
    struct handed handed[64];
};

const char *source_hash(void);
struct forwarder *forwarder_new(const struct setup *setup);
void forwarder_free(struct forwarder *);

uint32_t pump(struct forwarder *);
void settle(struct forwarder *);
int inject(struct forwarder *, struct peer *, const uint8_t *packet, uint32_t size);

struct peer *peer_new(int64_t number);
void peer_free(struct forwarder *, struct peer *);
int pace(struct forwarder *, struct peer *, double rate_bps);
double release(struct forwarder *, double now);
int peer_notes(struct peer *, int32_t extension);
int admit(struct forwarder *, const struct name *, struct peer *);
void dismiss(struct forwarder *, const struct name *);
int send_rtcp(struct forwarder *, struct peer *, const uint8_t *packet, uint32_t size);
struct estimate *estimate(struct peer *);
void heard_report(struct peer *, const uint8_t *block, double now);
uint32_t send_reports(struct forwarder *, struct source *, uint64_t ntp, uint32_t timestamp, int64_t turn,
                      int64_t turns);

struct estimate *estimator_new(void);
void estimator_free(struct estimate *);
/* One packet with the next number leaves now. Without memory it is not remembered. */
void estimator_note(struct estimate *, uint32_t number, double at, uint32_t size);
int estimator_feedback(struct estimate *, const uint8_t *body, uint32_t size, double now);
/* The number of packets that a transport-wide report speaks of, -1 where it is cut off or speaks of more than `most`. */
int32_t statuses_count(const uint8_t *body, size_t size, uint32_t most);
void estimator_remb(struct estimate *, double bitrate_bps, double now);
void begin_probe(struct estimate *, double now, double lasts_s);

struct source *source_new(struct forwarder *, int64_t number, struct peer *, int32_t codec, int32_t video, uint32_t clock_rate,
                          int32_t payload_type, int32_t rtx_payload_type, uint32_t cache_packets);
void source_free(struct forwarder *, struct source *);
int bind_stream(struct peer *, uint32_t ssrc, struct source *, int32_t rtx);
void mute(struct source *, int32_t muted);
uint32_t awaited(const struct source *);
uint32_t missing(struct forwarder *, struct source *, double now, uint16_t *sequences);
void start_impatient(struct forwarder *, struct source *, double now, double patience_s);

struct route *route_new(struct forwarder *, int64_t number, struct source *, struct peer *,
                        const struct agreement *, uint32_t first_sequence, uint32_t timestamp_shift,
                        uint32_t rtx_sequence);
void route_agree(struct route *, const struct agreement *);
void route_free(struct route *);
void take_heard(struct route *, struct heard *);
void begin(struct forwarder *, struct route *);
int switch_route(struct forwarder *, struct route *, struct source *, const int64_t *lag);
int limit_route(struct forwarder *, struct route *, int32_t temporal, int32_t spatial);
uint32_t pad(struct forwarder *, struct route *, uint32_t size);
uint32_t route_timestamp_shift(const struct route *);
void resend(struct forwarder *, struct route *, const uint16_t *sequences, uint32_t count);
/* --- */
#endif
