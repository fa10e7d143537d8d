/* SPDX-License-Identifier: MIT */
#ifndef SIMULATION_H
#define SIMULATION_H

/**
 * A registry in a world that one seed makes: clients that come, stall, break off and come back with
 * the last id that they really saw, a clock that jumps, a host that publishes, holds writing back, completes,
 * detaches and shuts down, also from inside hooks, and memory that runs out.
 *
 * Beside it runs a model that knows only what was asked of the library: what was published in which
 * order, what the history may hold of it (history.c), and what each emitter was therefore offered.
 * It does not know what is in the queues. When a stream has ended, its bytes are taken apart
 * (stream.c): they have to be the frames that were offered, in that order, and the counters have to
 * account for each that is missing. What a client made of its part of the bytes is read by the
 * independent parser (clients.c): each event of its topics once and in order, or it was told.
 *
 * The public headers alone; what the library may decide by chance is only held to its bounds.
 */

#include "event_source_parser.h"
#include "fake_host.h"

#include <sse/registry.h>

#define TOPIC_COUNT 4
#define BROADCAST 4 /* the topic of what is sent to all */
#define DIRECT 5    /* sent to one emitter, past the registry */

#define RECORDS_MAX 400
#define PARTS_MAX 3
#define CLIENTS_MAX 12
#define CONNECTIONS_MAX 160
#define ARENA_SIZE ((size_t)1 << 19)
#define NEVER UINT64_MAX
#define MILLISECOND UINT64_C(1000000)

/** A message as it has to be on the wire. */
struct record {
    int topic;
    unsigned part_count;
    struct sse_event events[PARTS_MAX]; /* as they are published */
    struct sse_str ids[PARTS_MAX];      /* with the id that the registry assigns */
    size_t ends[PARTS_MAX];             /* where each ends in the frame */
    char *frame;
    size_t size;
    size_t seen_at;    /* a client that has so many bytes of it has its id; 0: it has none */
    unsigned counted;  /* for how many events */
    struct sse_str id; /* the last in it */
    bool assigned;     /* by the registry */
    bool lasting;      /* a client that comes back can ask for what follows it */
    bool kept;         /* in the history, at first */
    uint64_t sequence; /* among those that were kept, from 1 */
    uint64_t time;
};

/** What of the records is still in the history: of each topic all from the first on. */
struct history {
    size_t first[TOPIC_COUNT + 1];
    size_t count[TOPIC_COUNT + 1];
    size_t bytes[TOPIC_COUNT + 1];
    size_t room[TOPIC_COUNT + 1]; /* for how many, in its ring */
    size_t charged[TOPIC_COUNT + 1];
    size_t all_count;
    size_t all_bytes;
    uint64_t lost; /* the highest sequence that is not held any more */
    bool tie;      /* two topics had the most bytes when one had to give: the library may choose */
};

enum fate {
    FATE_OWED,
    FATE_OPEN,      /* the model cannot know whether it was offered */
    FATE_FAREWELL,  /* nor that, unless the shutdown ended the emitter */
    FATE_REFUSED,   /* the emitter ended over it */
    FATE_TAKEN_BACK /* the call failed */
};

/** A record that was offered to an emitter. */
struct item {
    size_t record;
    enum fate fate;
    size_t sent;   /* bytes that the sink had taken then */
    bool pinned;   /* the sink or the reader was looking at others */
    bool replayed; /* without regard to keys */
    bool late; /* what is before it, and not yet tried, leaves first: others may then come before it too */
};

enum mood { MOOD_FAST, MOOD_SLOW, MOOD_STUCK };

/* What the host did that may end an emitter. */
#define CAUSE_COMPLETE 1U
#define CAUSE_ERROR 2U
#define CAUSE_DETACH 4U
#define CAUSE_SHUTDOWN 8U
#define CAUSE_SINK 16U

struct request;

/** One emitter, and what the host knows of it. */
struct connection {
    struct world *world;
    size_t number;
    struct sse_emitter *emitter; /* NULL before and after its life */
    bool held;                   /* the host has a reference */
    struct request *request;     /* a subscription under way */

    struct sse_emitter_options options;
    size_t head_size;
    size_t over; /* bytes beyond its limit that a replay or a farewell may have queued */
    uint64_t created, progress, drain_end;
    size_t queued; /* bytes, at the last look */
    bool was_queued;

    bool member;
    bool leaving; /* a cap made it go */
    bool listed;  /* among the ready */
    bool peeked;  /* the last peek or read found nothing */
    unsigned topics;
    uint64_t since[TOPIC_COUNT + 1]; /* it has a topic; for the broadcasts, it is a member */

    struct item *items;
    size_t item_count, item_capacity;
    unsigned char *received; /* what the sink took */
    size_t received_size, received_capacity;

    enum mood mood;
    unsigned error_percent;
    unsigned causes;
    int cause_error;
    int sink_error;
    bool inside; /* its write callback, on_ready or on_blocked */
    bool shown;  /* a peek has shown bytes that are not taken yet */
    bool told_blocked;
    bool detached, cut_off; /* called; the promise holds */
    bool evicted, refused_one, uncertain;
    bool finished; /* the hooks at its end have begun */
    unsigned timeouts, errors, completions, releases;
    bool settled;
    struct sse_completion completion;
    struct sse_str last_id;                 /* of the completion record */
    uint64_t before_events, before_dropped; /* when it joined */
};

struct client {
    struct connection *connection;
    unsigned topics;
    bool came;
    char last_id[160];
    size_t last_id_size;
    size_t next;     /* the first record that it may see */
    bool lied;       /* about its last id */
    bool disordered; /* it lied, or the host made its stream go back: only loss is looked for */
    bool owed[RECORDS_MAX];
    bool seen[RECORDS_MAX];
};

/** Whether an id that a client comes back with names a place. */
enum known {
    KNOWN_NOWHERE,
    KNOWN_HERE,
    KNOWN_ELSEWHERE /* only in a topic that is not asked for */
};

/** A subscription under way. */
struct request {
    struct sse_str id;
    unsigned asked;  /* topics */
    unsigned topics; /* those that are new to the emitter */
    bool adds;
    enum known known;
    uint64_t place;
    int error; /* that joining has to return */
    bool asked_host, filled;
    bool sent;                  /* the host sent something to fill the gap */
    bool host_filled;           /* it says that it sent everything; `filled`: nothing was lost meanwhile */
    size_t came_at;             /* how many records there were when it joined */
    size_t oldest, hook_from;   /* of the replay that on_gap was told of; records at that time */
    bool snapshot[RECORDS_MAX]; /* the replay */
    bool traced, gap, resolved;
    enum sse_replay_outcome outcome;
    size_t messages;
};

struct held_limits {
    size_t bytes, messages;
};

/** What is held back. */
struct holding {
    unsigned holds;
    bool any;               /* events are held, or were and went */
    size_t bytes, messages; /* since the library last wrote what it held */
    /** At either of these it writes of its own accord; between the two it may: one that was refused counts
     *  or not. */
    struct held_limits least, most;
    bool unsure;                 /* whether it has */
    uint64_t written;            /* how often all was written */
    bool waits[CONNECTIONS_MAX]; /* for the release, by number */
};

struct scenario {
    struct sse_registry_options options;
    bool history, wakes, empty_ids, shared_ids, repeated_ids, given_ids;
    unsigned nests, fails; /* percent */
    bool holds;
    unsigned steps, clients;
};

struct totals {
    uint64_t events, reconnects, gaps, filled, drops;
};

struct world {
    uint64_t seed, chance;
    bool verbose;
    unsigned step;
    const char *doing;
    struct fake_host fake;
    struct scenario scenario;
    struct sse_registry *registry;
    char arena[ARENA_SIZE];
    size_t arena_used;
    struct record records[RECORDS_MAX];
    size_t record_count;
    size_t retry_record; /* what a stream may begin with */
    char epoch[SSE_EPOCH_SIZE_MAX + 1];
    uint64_t sequence;
    struct history history;
    struct connection *connections[CONNECTIONS_MAX];
    size_t connection_count;
    struct client clients[CLIENTS_MAX];
    unsigned depth;  /* of callbacks */
    uint64_t nested; /* calls from inside them so far */
    bool quiet;      /* no more of them */
    bool failed;     /* memory ran out in the call under way */
    unsigned requests;
    uint64_t calls; /* of callbacks */
    struct holding holding;
    bool publishing;           /* a publish writes: others only queue */
    unsigned publishing_depth; /* where it was called */
    bool woken, shut_down;
    uint64_t joins, shutdown_end;
    int64_t retry_min, retry_max;
    bool ticking;
    uint64_t ticking_nested; /* how many were nested when it began */
    uint64_t left;           /* unwritten, of those that were cut */
    bool left_uncertain, farewell_uncertain;
    uint64_t promised;               /* the deadline behind the last sse_registry_next_timeout, at least */
    struct sse_registry_stats stats; /* what they have to be */
    struct sse_shutdown_report report;
    struct totals totals;
};

/* simulation.c */

/** Ends the run with a message and the seed unless it holds. */
void expect(struct world *world, bool holds, const char *format, ...) __attribute__((format(printf, 3, 4)));
void expect_equal(struct world *world, uint64_t expected, uint64_t actual, const char *what);
void narrate(const struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t chance_bits(struct world *world);
/** From 0 to `bound` - 1. */
size_t chance_below(struct world *world, size_t bound);
bool chance_percent(struct world *world, unsigned percent);
uint64_t world_now(const struct world *world);
/** Before and after a call of the library in which memory may run out. */
void fail_begin(struct world *world);
/** From inside a callback: until the call that it is in returns, there is enough. */
void fail_suspend(struct world *world);
/** Whether it did. */
bool fail_end(struct world *world);
bool same_text(struct sse_str left, struct sse_str right);

/* records.c */

struct sse_str arena_format(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool records_have_room(const struct world *world);
/** A record whose events are given. */
struct record *record_new(struct world *world, int topic, const struct sse_event *events, unsigned count);
struct record *record_draw(struct world *world, int topic);
struct sse_str assigned_id(struct world *world, uint64_t sequence);
size_t record_wire_size(const struct record *record, bool chunked);
bool is_dispatched(const struct sse_event *event);

/* history.c */

void history_learn_costs(void);
/** Keeps the record with this index in a history. */
void history_add(const struct world *world, struct history *history, size_t index);
void history_expire(struct world *world);
/** A call failed, which may have come so far as to let go of what is too old. */
void history_follow(struct world *world);
bool history_holds(const struct world *world, size_t index);
/** The place that an id names for a client of these topics. */
enum known history_find(const struct world *world, struct sse_str id, unsigned topics, uint64_t *place);
size_t history_oldest(const struct world *world, int topic);

/* connections.c */

/** Makes an emitter; NULL if that failed, as it may. */
struct connection *connection_open(struct world *world);
void connection_free(struct connection *connection);
bool connection_info(const struct connection *connection, struct sse_emitter_info *info);
bool connection_is_open(const struct connection *connection);
bool connection_fits(const struct connection *connection, const struct sse_emitter_info *info,
                     const struct record *record);
size_t connection_offer(struct connection *connection, size_t record);
void connection_received(struct connection *connection, const void *bytes, size_t size);
/** Into the model: it is in the registry no longer. */
void connection_left(struct connection *connection);
/** How it ended: what its calls return from then on. */
int end_error(const struct sse_emitter_info *info);
uint64_t milliseconds(int64_t option);

/* hooks.c */

void hooks_install(struct sse_emitter_options *options, struct connection *connection);
void on_wake(struct sse_registry *registry, void *user);
void on_trace(struct sse_registry *registry, struct sse_emitter *emitter, enum sse_trace step, void *user);

/* publishing.c */

void publish(struct world *world, int topic);
int send_record(struct connection *connection, size_t index);
struct sse_str topic_name(int topic);
struct sse_message *message_of(struct world *world, const struct record *record);

/* holding.c */

void holding_init(struct holding *holding);
/** It may come to join. */
void holding_joins(struct connection *connection);
void holding_joined(struct connection *connection);
/** One more is held. True if all of it is written now. */
bool holding_add(struct holding *holding, const struct record *record);
void holding_written(struct holding *holding);
/** Whether what it was sent waits for the release. */
bool connection_waits(const struct connection *connection);
void hold(struct world *world);
void release(struct world *world);
void flush_held(struct world *world);

/* subscribing.c */

int subscribe(struct connection *connection, struct client *client, unsigned topics, struct sse_str id);
/** It has joined; what that brings is not known yet. */
void request_joined(struct connection *connection, struct request *request);
/** What has joined by now is in the model. */
void requests_resolve(struct world *world);
bool on_gap(struct sse_registry *registry, struct sse_emitter *emitter, const struct sse_gap *gap,
            void *user);
size_t count_members(const struct world *world, int topic);

/* stream.c */

/** A stream taken apart. */
struct stream {
    struct connection *connection;
    unsigned char *body;
    size_t size;
    size_t whole;   /* up to here all chunks are whole */
    size_t *chunks; /* where each ends */
    size_t chunk_count;
    struct piece {
        size_t item, start, end; /* of items[] within the body */
    } * pieces;
    size_t piece_count;
    uint64_t heartbeats;
    size_t retries;
};

void stream_init(struct stream *stream, struct connection *connection);
void stream_free(struct stream *stream);
/** How much of the body is within so many bytes of the stream. */
size_t stream_body_size(const struct stream *stream, size_t received);
/** Compares the completion record with the bytes. */
void stream_settle(struct connection *connection);

/* clients.c */

void client_connect(struct world *world, struct client *client);
/** It has so many bytes of its stream, and stops listening. */
void client_leave(struct client *client, struct world *world, size_t received);
/** Everything owed was seen. */
void client_check(struct client *client, struct world *world);
/** It has joined: what it is not owed any more, because it was told so. */
void client_joined(struct client *client, const struct world *world, const struct request *request);

/* audit.c */

void audit(struct world *world, bool ticked);
/** What waits does so because the sink is full, or the reader does not come, or for a release. */
void check_queue(const struct connection *connection);
/** sse_registry_next_timeout, and what the host relies on from then on. */
int ask_timeout(struct world *world);

/* steps.c */

void step(struct world *world);
/** Something from inside a callback. */
void nested_step(struct world *world, struct connection *self);
void turn(struct world *world);
void tick(struct world *world);
void pull(struct connection *connection, size_t size);
void detach(struct connection *connection);
void give_back(struct connection *connection);
void shut_down(struct world *world);

/* scenario.c */

void world_run(struct world *world, uint64_t seed);

#endif
