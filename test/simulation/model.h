/* SPDX-License-Identifier: MIT */
#ifndef MODEL_H
#define MODEL_H

/** The state of the simulation: the world, its loops, its clients, and their queues. */

#include "event_source_parser.h"
#include "fake_platform.h"

#include <sse/sse.h>

#define TOPIC_COUNT 4
#define BROADCAST 4 /* the topic of events to everyone */
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

/** The bytes of a message on the wire. */
struct record {
    int topic;
    unsigned part_count;
    struct sse_event events[PARTS_MAX]; /* as they were published */
    struct sse_text ids[PARTS_MAX];     /* with the id that the registry assigns */
    size_t ends[PARTS_MAX];             /* the end of each in the frame */
    char *frame;
    size_t size;
    size_t seen_at;     /* the id of a client that has that many bytes of it; 0: none */
    unsigned counted;   /* events */
    struct sse_text id; /* the last in it */
    bool assigned;      /* sent through the registry */
    bool lasting;       /* a client can reconnect after it */
    bool kept;          /* retained in the history, at first */
    bool tells_gap;
    uint64_t sequence; /* its place among the retained ones */
    uint64_t time;
};

/** The records that are still in the history: of each topic all from the first one on. */
struct history {
    size_t first[TOPIC_COUNT + 1];
    size_t count[TOPIC_COUNT + 1];
    size_t bytes[TOPIC_COUNT + 1];
    size_t room[TOPIC_COUNT + 1]; /* number of places in its ring */
    size_t charged[TOPIC_COUNT + 1];
    size_t all_count;
    size_t all_bytes;
    uint64_t lost; /* the highest sequence that is not retained any more */
    bool tie;      /* two topics had the most bytes when one had to discard an event, so the library could choose */
};

enum item_kind { ITEM_HEAD, ITEM_FIRST, ITEM_RECORD, ITEM_HEARTBEAT, ITEM_RETRY, ITEM_LAST_CHUNK };

/** The parts of a paused emitter's replay for a filled gap, and for one that is not filled. */
enum choice { ALWAYS, IF_GAP, IF_FILLED };

/** A message in a queue. */
struct item {
    enum item_kind kind;
    size_t record; /* ITEM_RECORD */
    size_t size;   /* on the wire */
    enum choice choice;
    bool live;          /* it was published, so the time until it is written is counted */
    uint64_t published; /* when */
};

/** The model of a queue. */
struct lane {
    struct item *items;
    size_t count, capacity;
    size_t written; /* written bytes of the first message */
    size_t exempt;  /* messages at the front that do not count against the limits */
    size_t pinned;  /* messages at the front that are peeked at */
    bool *lost;     /* for each record: those that it dropped; NULL in a copy */
};

enum verdict { QUEUED, DROPPED, ENDED };

struct connection;

/** A message that is offered to a queue. */
struct offer {
    struct connection *connection;
    enum verdict verdict;
    bool unsure; /* whether it is unknown if the limits hold at once; then the possible results */
    enum verdict strict_verdict;
    struct lane strict;
    uint64_t strict_dropped;
};

/** A message that was written, in whole or in part, at its place in the stream. */
struct piece {
    struct item item;
    size_t start, end;
    size_t frame; /* where the frame begins, after the head of its chunk */
};

enum mood { MOOD_FAST, MOOD_SLOW, MOOD_STUCK };

/* Actions of the server that may end an emitter. */
#define CAUSE_COMPLETE 1U
#define CAUSE_ABORT 2U
#define CAUSE_CLOSE 4U
#define CAUSE_SHUTDOWN 8U
#define CAUSE_OUTPUT 16U
#define CAUSE_LOOP 32U
#define CAUSE_OVERFLOW 64U
#define CAUSE_EVICT 128U

/** A loop that the server drives. */
struct loop {
    struct world *world;
    size_t number;
    struct sse_loop *loop; /* NULL: it does not exist */
    unsigned inside;       /* of a turn, or of its end */
    bool calling;          /* a callback of one of its emitters runs */
    bool woken;            /* since the last turn began */
    uint64_t due;          /* what the last turn returned */
    bool again;            /* the last turn returned 0 */
    bool finishing, freeing;
};

/** Whether the id of a reconnecting client names a place. */
enum known {
    KNOWN_NOWHERE,
    KNOWN_HERE,
    KNOWN_ELSEWHERE /* only in a topic that the client does not ask for */
};

/** A subscription. */
struct request {
    struct sse_text id;
    unsigned asked;  /* topics */
    unsigned topics; /* topics that are new to the emitter */
    bool adds;       /* the emitter joins the registry */
    enum known known;
    uint64_t place;
    size_t came_at;             /* how many records there were */
    size_t oldest;              /* the library's answer; RECORDS_MAX: none */
    bool snapshot[RECORDS_MAX]; /* the replay */
    enum sse_replay_outcome outcome;
};

/** One emitter, and the server's data about it. */
struct connection {
    struct world *world;
    size_t number;
    struct sse_emitter *emitter; /* NULL before and after its life */
    struct loop *loop;           /* NULL: it has none */
    bool looped;                 /* it was made with one */
    bool registered;             /* it was made with the registry */
    bool owned;                  /* sse_emitter_close has not been called */
    unsigned refs;               /* references of sse_emitter_ref */
    unsigned calls;              /* its own functions that are running */

    struct sse_emitter_options options;
    struct sse_http_options http;
    bool chunked;
    struct sse_text head, first_line;
    uint64_t created, progress, drain_end;

    bool member;
    bool left_by_cap;
    unsigned topics;
    uint64_t since[TOPIC_COUNT + 1]; /* it has this topic; for broadcasts: it is a member */

    struct lane front, later;
    bool has_later; /* new events are queued behind a pause, or behind the events sent in it */
    bool paused;
    struct request *pause; /* how it joined */

    unsigned char *received; /* the bytes that its output accepted */
    size_t received_size, received_capacity;
    struct piece *pieces;
    size_t piece_count, piece_capacity;
    uint64_t events, dropped; /* that were written whole; by full queues */
    uint64_t drop_slack;      /* it is unknown whether these count as dropped */
    uint64_t lost_early;      /* events that count between its end and its completion record */
    bool lost[RECORDS_MAX];   /* events that a full queue dropped */
    struct sse_text last_id;

    enum mood mood;
    unsigned error_percent;
    bool full;         /* its output is full; PULL: its reader was notified, and has not come */
    bool refused;      /* its output refused the last write */
    bool told_blocked; /* on_ready reported that, so the server must report room */
    bool armed;        /* SSE_READABLE may be reported */
    bool waiting;      /* SSE_READABLE must be reported when there is something to read */
    bool told;         /* its reader came, because of on_ready in the current turn or by itself */
    bool has_room;     /* room was reported inside its output, and has not been tried since */
    int peer;          /* the client's end of its socket; -1: none, or it is closed */
    size_t unread;     /* bytes that the client has not read */
    size_t shown;      /* bytes of the last peek */
    bool ping_owed;    /* it was pinged since then, with bytes queued */
    void *reading;     /* destination of the current read */
    size_t read_size;  /* its size */
    bool in_output;    /* inside its write callback or on_ready */
    bool in_write;     /* inside its write callback */
    bool in_callback;
    bool cut_off;    /* closed; the guarantee of close holds */
    bool was_there;  /* it existed at the beginning of the current turn */
    unsigned writes; /* its writes in the current turn */
    bool interrupted;
    bool fills; /* the server sent something to fill the gap */

    struct sending *sending; /* the current send, or NULL */
    unsigned causes;
    int cause_error; /* the argument of abort */
    int output_error;
    bool relieved; /* the budget may have ended it */
    enum sse_state state;
    enum sse_reason reason;
    int error;
    size_t left;                        /* bytes queued at its end */
    uint64_t ended_in;                  /* the ending call, */
    uint64_t ended_after;               /* and when this much was queued */
    size_t count_before, exempt_before; /* the final event of a shutdown in its queue */
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
    size_t next;     /* the first record that it may receive */
    bool lied;       /* about its last id */
    bool disordered; /* it sent a false id, or the server made its stream go back: only missing events are
                      * checked */
    bool owed[RECORDS_MAX];
    bool seen[RECORDS_MAX];
};

struct scenario {
    struct sse_registry_options options;
    bool history, empty_ids, shared_ids, repeated_ids, given_ids;
    unsigned nests, fails; /* percent */
    unsigned steps, clients, loops;
    unsigned lazy; /* percent: how often a due loop does not get its turn */
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
    uint64_t nested;       /* calls from inside callbacks so far */
    bool quiet;            /* callbacks make no more calls */
    bool failed;           /* memory ran out in the current call */
    uint64_t calls;        /* of callbacks */
    unsigned readings;     /* readings of the clock in the current call */
    bool reads_often;      /* it may read the clock more than once */
    uint64_t calls_before; /* it */
    uint64_t call;         /* how many audits have run */
    uint64_t queued;       /* how often something was queued */
    bool shut_down;
    uint64_t joins, shutdown_end;
    int64_t retry_min, retry_max, retry_first;
    unsigned retries; /* the retries that clients received at the shutdown, */
    bool retries_differ;
    struct sse_registry_stats stats; /* the allowed values */
    bool left_uncertain;
    uint64_t left_slack; /* the last chunks of emitters that were ended may count as left */
    struct totals totals;
};

#endif
