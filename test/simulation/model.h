/* SPDX-License-Identifier: MIT */
#ifndef MODEL_H
#define MODEL_H

/** What the simulation knows: of the world, its loops, its clients, and what is queued for them. */

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
    bool ping_owed;    /* it was pinged since then, with bytes queued */
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
    uint64_t ended_in;                  /* which call, */
    uint64_t ended_after;               /* and when so much was queued */
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
    uint64_t queued;       /* how often something was queued */
    bool shut_down;
    uint64_t joins, shutdown_end;
    int64_t retry_min, retry_max, retry_first;
    unsigned retries; /* that clients were told at the shutdown, */
    bool retries_differ;
    struct sse_registry_stats stats; /* what they have to be */
    bool left_uncertain;
    uint64_t left_slack; /* the last chunks of those that were cut may count as left */
    struct totals totals;
};

#endif
