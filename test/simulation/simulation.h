/* SPDX-License-Identifier: MIT */
#ifndef SIMULATION_H
#define SIMULATION_H

/**
 * A registry and its loops in a world that one seed makes: clients that come, stall, break off and come
 * back with the last id that they really saw, a clock that jumps, a server that publishes, completes,
 * closes and shuts down, also from inside callbacks, loops that have their turns late, and memory that
 * runs out.
 *
 * A model runs beside it. It knows only what was asked of the library: what was published in which
 * order, what the history may retain of it (history.c), and what is therefore queued for each emitter
 * (lane.c). Every byte that an output is offered is compared with the model's queue, and after every
 * call the sizes and counters are (audit.c). What a client made of its bytes is read by an independent
 * parser (clients.c): each event of its topics once and in order, or the client was told of a gap.
 *
 * It uses the public headers alone. What the library may decide by chance is only held to its bounds.
 */

#include "event_source_parser.h"
#include "fake_platform.h"

#include <sse/sse.h>

#define TOPIC_COUNT 4
#define BROADCAST 4 /* the topic of what is published to everyone */
#define DIRECT 5    /* sent to one emitter */

#define LOOPS_MAX 4
#define RECORDS_MAX 400
#define PARTS_MAX 3
#define CLIENTS_MAX 12
#define CONNECTIONS_MAX 160
#define ARENA_SIZE ((size_t)1 << 19)
#define TEXT_MAX 2048
#define WIRE_MAX (TEXT_MAX + 32) /* with chunk framing */
#define NEVER UINT64_MAX
#define MILLISECOND UINT64_C(1000000)

/** A message as it has to be on the wire. */
struct record {
    int topic;
    unsigned part_count;
    struct sse_event events[PARTS_MAX]; /* as they are published */
    struct sse_text ids[PARTS_MAX];     /* with the id that the registry assigns */
    size_t ends[PARTS_MAX];             /* where each ends in the frame */
    char *frame;
    size_t size;
    size_t seen_at;     /* a client that has that many bytes of it has its id; 0: it has none */
    unsigned counted;   /* events */
    struct sse_text id; /* the last in it */
    bool assigned;      /* by the registry */
    bool lasting;       /* a client that comes back can ask for what follows it */
    bool kept;          /* in the history, at first */
    bool tells_gap;
    uint64_t sequence; /* among those that were kept */
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

enum item_kind { ITEM_HEAD, ITEM_FIRST, ITEM_RECORD, ITEM_HEARTBEAT, ITEM_RETRY, ITEM_LAST_CHUNK };

/** What of a paused emitter's replay follows only if its gap is filled, or only if it is not. */
enum choice { ALWAYS, IF_GAP, IF_FILLED };

/** A message in a queue. */
struct item {
    enum item_kind kind;
    size_t record; /* ITEM_RECORD */
    size_t size;   /* on the wire */
    enum choice choice;
    bool live;          /* published to it: the time until it is written is counted */
    uint64_t published; /* when */
};

/** The model of a queue. */
struct lane {
    struct item *items;
    size_t count, capacity;
    size_t written; /* bytes of the first */
    size_t exempt;  /* messages at the front that do not count against the limits */
    size_t pinned;  /* messages at the front that somebody looks at */
    bool *lost;     /* by record: those that it dropped; NULL in a copy */
};

enum verdict { QUEUED, DROPPED, ENDED };

struct connection;

/** A message that is offered to a queue. */
struct offer {
    struct connection *connection;
    enum verdict verdict;
    bool unsure; /* whether the limits hold at once: then what would become of the queue, */
    enum verdict strict_verdict;
    struct lane strict;
    uint64_t strict_dropped;
};

/** A message that was written, in whole or in part, at its place in the stream. */
struct piece {
    struct item item;
    size_t start, end;
    size_t frame; /* where the frame begins, behind the head of its chunk */
};

enum mood { MOOD_FAST, MOOD_SLOW, MOOD_STUCK };

/* What the server did that may end an emitter. */
#define CAUSE_COMPLETE 1U
#define CAUSE_ABORT 2U
#define CAUSE_CLOSE 4U
#define CAUSE_SHUTDOWN 8U
#define CAUSE_OUTPUT 16U
#define CAUSE_LOOP 32U
#define CAUSE_OVERFLOW 64U
#define CAUSE_MEMORY 128U

/** A loop that the server drives. */
struct loop {
    struct world *world;
    size_t number;
    struct sse_loop *loop; /* NULL: it is not there */
    unsigned inside;       /* of a turn, or of its end */
    bool calling;          /* a callback of one of its emitters runs */
    bool woken;            /* since the last turn began */
    uint64_t due;          /* what the last turn returned */
    bool again;            /* it returned 0 */
    bool finishing, freeing;
};

/** Whether an id that a client comes back with names a place. */
enum known {
    KNOWN_NOWHERE,
    KNOWN_HERE,
    KNOWN_ELSEWHERE /* only in a topic that is not asked for */
};

/** A subscription. */
struct request {
    struct sse_text id;
    unsigned asked;  /* topics */
    unsigned topics; /* those that are new to the emitter */
    bool adds;       /* the emitter comes to the registry */
    enum known known;
    uint64_t place;
    size_t came_at;             /* how many records there were */
    size_t oldest;              /* what the library says; RECORDS_MAX: none */
    bool snapshot[RECORDS_MAX]; /* the replay */
    enum sse_replay_outcome outcome;
};

/** One emitter, and what the server knows of it. */
struct connection {
    struct world *world;
    size_t number;
    struct sse_emitter *emitter; /* NULL before and after its life */
    struct loop *loop;           /* NULL: it has none */
    bool looped;                 /* it was made with one */
    bool registered;             /* it was made with the registry */
    bool owned;                  /* sse_emitter_close has not been called */
    unsigned refs;               /* that sse_emitter_ref took */
    unsigned calls;              /* of its own functions, that are under way */

    struct sse_emitter_options options;
    struct sse_http_options http;
    bool chunked;
    struct sse_text head, first_line;
    uint64_t created, progress, drain_end;

    bool member;
    bool left_by_cap;
    unsigned topics;
    uint64_t since[TOPIC_COUNT + 1]; /* it has a topic; for the broadcasts, it is a member */

    struct lane front, later;
    bool has_later; /* what comes now waits behind a pause, or behind what was sent in it */
    bool paused;
    struct request *pause; /* how it joined */

    unsigned char *received; /* what the output took */
    size_t received_size, received_capacity;
    struct piece *pieces;
    size_t piece_count, piece_capacity;
    uint64_t events, dropped; /* that were written whole; by full queues */
    uint64_t drop_slack;      /* of these it is not known whether they count as dropped */
    uint64_t lost_early;      /* those that count between its end and its completion record */
    bool lost[RECORDS_MAX];   /* that a full queue dropped */
    struct sse_text last_id;

    enum mood mood;
    unsigned error_percent;
    bool full;         /* the output said so; PULL: its reader was told, and has not come */
    bool refused;      /* its last write, */
    bool told_blocked; /* and the server is to say when there is room */
    bool armed;        /* SSE_READABLE is allowed, */
    bool waiting;      /* and owed when there is something to read */
    bool told;         /* by on_ready, in the turn under way, or its reader came by itself */
    bool has_room;     /* said inside its output, and not tried since */
    int peer;          /* the client's end of its socket; -1: none, or it is closed */
    size_t unread;     /* bytes that the client has not read */
    size_t shown;      /* bytes, by the last peek */
    void *reading;     /* where a read under way copies to */
    size_t read_size;  /* how much */
    bool in_output;    /* inside its write callback or on_ready */
    bool in_write;     /* inside its write callback */
    bool in_callback;
    bool cut_off;    /* closed; the promise holds */
    bool was_there;  /* when the turn under way began, */
    unsigned writes; /* and in it */
    bool interrupted;
    bool fills; /* the server sent something to fill the gap */

    struct sending *sending; /* a send under way, or NULL */
    unsigned causes;
    int cause_error; /* of abort */
    int output_error;
    bool relieved; /* the budget may have ended it */
    enum sse_state state;
    enum sse_reason reason;
    int error;
    size_t left;                        /* bytes queued at its end */
    uint64_t ended_in;                  /* which call */
    size_t count_before, exempt_before; /* of its queue, the final event of a shutdown */
    unsigned timeouts, errors, completions, releases;
    enum sse_reason told_reason;
    int told_error;
    bool settled;
    uint64_t heartbeats, pings;
};

struct client {
    struct connection *connection;
    unsigned topics;
    bool came;
    char last_id[160];
    size_t last_id_size;
    size_t next;     /* the first record that it may see */
    bool lied;       /* about its last id */
    bool disordered; /* it lied, or the server made its stream go back: only loss is looked for */
    bool owed[RECORDS_MAX];
    bool seen[RECORDS_MAX];
};

struct scenario {
    struct sse_registry_options options;
    bool history, empty_ids, shared_ids, repeated_ids, given_ids;
    unsigned nests, fails; /* percent */
    unsigned steps, clients, loops;
    unsigned lazy; /* percent: a loop that is due does not get its turn */
};

struct totals {
    uint64_t events, reconnects, gaps, filled, drops, turns;
};

struct world {
    uint64_t seed, chance;
    bool verbose;
    unsigned step;
    const char *doing;
    struct fake_platform fake;
    struct scenario scenario;
    struct sse_registry *registry; /* NULL: the server's reference is released */
    struct loop loops[LOOPS_MAX];
    char arena[ARENA_SIZE];
    size_t arena_used;
    struct record records[RECORDS_MAX];
    size_t record_count;
    char id_prefix[SSE_ID_PREFIX_SIZE_MAX + 1];
    uint64_t sequence;
    struct history history;
    struct connection *connections[CONNECTIONS_MAX];
    size_t connection_count;
    struct client clients[CLIENTS_MAX];
    unsigned depth;        /* of callbacks */
    uint64_t nested;       /* calls from inside them so far */
    bool quiet;            /* no more of them */
    bool failed;           /* memory ran out in the call under way */
    uint64_t calls;        /* of callbacks */
    unsigned readings;     /* of the clock, in the call under way */
    bool reads_often;      /* it may read the clock more than once */
    uint64_t calls_before; /* it */
    uint64_t call;         /* how many audits there were */
    bool shut_down;
    uint64_t joins, shutdown_end;
    int64_t retry_min, retry_max;
    struct sse_registry_stats stats; /* what they have to be */
    bool left_uncertain;
    uint64_t left_slack; /* the last chunks of those that were cut may count as left */
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
/** Whether it did in the call under way, or in the last one. */
bool memory_is_short(const struct world *world);
bool same_text(struct sse_text left, struct sse_text right);

/* records.c */

struct sse_text arena_format(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool records_have_room(const struct world *world);
/** A record whose events are given. */
struct record *record_new(struct world *world, int topic, const struct sse_event *events, unsigned count);
struct record *record_draw(struct world *world, int topic);
struct sse_text assigned_id(struct world *world, uint64_t sequence);
bool is_dispatched(const struct sse_event *event);

/* history.c */

void history_learn_costs(void);
/** Keeps the record with this index in a history. */
void history_add(const struct world *world, struct history *history, size_t index);
void history_expire(struct world *world);
bool history_holds(const struct world *world, size_t index);
/** The place that an id names for a client of these topics. */
enum known history_find(const struct world *world, struct sse_text id, unsigned topics, uint64_t *place);
size_t history_oldest(const struct world *world, int topic);

/* lane.c */

size_t wire_size(const struct connection *connection, const struct item *item);
size_t item_frame_offset(const struct connection *connection, const struct item *item);
unsigned item_events(const struct connection *connection, const struct item *item);
size_t lane_bytes(const struct lane *lane);
uint64_t lane_events(const struct connection *connection, const struct lane *lane);
void lane_push(struct lane *lane, struct item item);
/** What it holds now does not count against its limits. */
void lane_exempt_all(struct lane *lane);
void lane_remove(struct lane *lane, size_t index);
void lane_clear(struct lane *lane);
void lane_copy(struct lane *to, const struct lane *from);
/** Whether it holds more than so many times its limits. */
bool lane_is_over(const struct connection *connection, const struct lane *lane, size_t factor);
bool is_too_large(const struct connection *connection, const struct item *item);
/** What the overflow policy makes of a message; its limits are multiplied by the factor. */
enum verdict lane_offer(const struct connection *connection, struct lane *lane, struct item item,
                        size_t factor, uint64_t *dropped);
/** What the overflow policy makes of a queue that was tried. */
enum verdict lane_judge(const struct connection *connection, struct lane *lane, uint64_t *dropped);
/** Compares what an output is offered with what is queued. Returns the bytes. */
size_t queue_shows(struct connection *connection, const struct iovec *iov, int count);

/* connections.c */

uint64_t milliseconds(int64_t option, int64_t by_default);
struct connection *connection_make(struct world *world, bool registered);
void connection_free(struct connection *connection);
bool connection_info(const struct connection *connection, struct sse_emitter_info *info);
/** Whether the server has a reference. */
bool connection_is_usable(const struct connection *connection);
bool connection_is_pull(const struct connection *connection);
/** What its calls return from its end on. */
int end_error(const struct connection *connection);
/** What has the messages that come now. */
struct lane *connection_tail(struct connection *connection);
/** Bytes, without and with those behind a pause. */
size_t connection_queued(const struct connection *connection);
size_t connection_backlog(const struct connection *connection);
void connection_queue(struct connection *connection, struct lane *lane, struct item item);
void connection_start(struct connection *connection, bool filled);
void connection_drop_later(struct connection *connection);
void connection_took(struct connection *connection, const void *bytes, size_t size);
/** It is in the registry no longer. */
void connection_left(struct connection *connection);

/* sockets.c */

bool connection_is_socket(const struct connection *connection);
void socket_open(struct connection *connection);
/** sse_emitter_new refused it. */
void socket_refused(struct connection *connection);
/** The client is gone. */
void socket_break(struct connection *connection);
/** The emitter says that it has written so many bytes. */
void socket_follow(struct connection *connection, uint64_t written);
/** The client reads. */
void socket_read(struct connection *connection, size_t size);
/** The emitter has been released. */
void socket_finish(struct connection *connection);

/* sync.c */

/** Follows what the library did of its own accord, and compares. */
void sync(struct connection *connection);
/** A socket has a byte that nobody queued: of a heartbeat, or of the last chunk. */
void follow_written(struct connection *connection, unsigned char byte);
void sync_all(struct world *world);

/* stream.c */

/** Compares the completion record with what was written. */
void connection_settle(struct connection *connection, const struct sse_completion *completion);
bool piece_is_body(const struct piece *piece);
/** The bytes of a message that are within that many bytes of the stream, without their chunk. */
struct sse_text piece_body(const struct connection *connection, const struct piece *piece, size_t received);

/* callbacks.c */

void callbacks_install(struct sse_emitter_options *options, struct connection *connection);
void on_wake(struct sse_loop *wakened, void *user);

/* replaying.c */

bool request_wants(const struct request *request, const struct record *record);
void request_find_place(struct world *world, struct request *request);
/** The subscription is made: queues what the client is owed. `choose`: the server may fill a gap. */
void request_resolve(struct connection *connection, struct request *request, const struct sse_replay *replay,
                     bool choose);
/** The record of an id in the server's own store, or RECORDS_MAX. */
size_t store_find(const struct world *world, struct sse_text id);

/* joining.c */

size_t count_members(const struct world *world, int topic);
/** Makes an emitter, in the registry or not. NULL: it was refused. */
struct connection *connection_open(struct world *world, bool registered, struct request *request);
int subscribe(struct connection *connection, struct request *request);

/* publishing.c */

struct sse_text topic_name(int topic);
struct sse_message *message_of(struct world *world, const struct record *record);
/** Offers a record to the queue. Which limits hold may have to be seen afterwards. */
enum verdict offer_begin(struct offer *offer, struct connection *connection, size_t record, bool live);
enum verdict offer_end(struct offer *offer);
void publish(struct world *world, int topic);

/* sending.c */

int send_record(struct connection *connection, size_t record);
void send_direct(struct connection *connection);
void ping(struct connection *connection);
void start(struct connection *connection);
/** The send under way failed for want of memory. */
void take_back_send(struct connection *connection);
/** Which limits held for the send under way is seen. */
void settle_send(struct connection *connection);

/* reading.c */

void pull(struct connection *connection, size_t size);
/** What a read under way has copied counts. */
void finish_read(struct connection *connection);
void interrupt(struct connection *connection);
/** A wait that does not wait: it runs the timers and callbacks of an emitter without a loop. */
void look(struct connection *connection);

/* ending.c */

/** Before and after a call of one emitter. `of_reader`: a PULL emitter's callbacks may run in it. Returns
 * what the end has to be told. */
bool call_begin(struct connection *connection, bool of_reader);
void call_end(struct connection *connection, bool counted);
void complete(struct connection *connection);
void break_off(struct connection *connection);
void close_connection(struct connection *connection);
void change_references(struct connection *connection);
void release_reference(struct connection *connection);
void flush(struct connection *connection);
void unsubscribe(struct connection *connection);
void complete_many(struct world *world);

/* shutdown.c */

void shut_down(struct world *world);

/* loops.c */

void loop_open(struct loop *loop);
struct loop *loop_draw(struct world *world);
void loop_turn(struct loop *loop);
void loop_close(struct loop *loop);
void loop_finish(struct loop *loop);
/** From inside its own turn. */
void loop_nest(struct loop *loop);
void check_loops(struct world *world);
/** Turns until no loop has anything to do. */
void serve_loops(struct world *world);

/* clients.c */

void client_connect(struct world *world, struct client *client);
/** It has that many bytes of its stream, and stops listening. */
void client_leave(struct client *client, struct world *world, size_t received);
/** It is told of a gap. */
void client_told(struct client *client, const struct request *request);
/** Everything owed was seen. */
void client_check(struct client *client, struct world *world);
/** Who reads this stream, or NULL. */
struct client *client_of(const struct connection *connection);

/* audit.c */

void audit(struct world *world);
size_t count_backlog(const struct world *world);
void check_budget(struct world *world);

/* steps.c */

void step(struct world *world);
/** Something from inside a callback. */
void nested_step(struct world *world, struct connection *self);
void drive(struct connection *connection, size_t size);
void serve_alone(struct world *world, unsigned percent);

/* scenario.c */

/** The number of the first id that is assigned. */
uint64_t first_sequence(const struct world *world);
void world_run(struct world *world, uint64_t seed);

#endif
