/* SPDX-License-Identifier: MIT */
#ifndef INJECTION_CLIENT_H
#define INJECTION_CLIENT_H

/** A client: an emitter, the other end of its output, and the events that it must receive. */

#include <sse/emitter.h>

#define RECEIVED_MAX 65536
#define OFFERED_MAX 300

#define NO_LOOP (-1)

enum client_kind { CLIENT_CALLBACK, CLIENT_PULL, CLIENT_SOCKET, CLIENT_PIPE, CLIENT_FILE };

/** Numbers of events, in the order in which they must arrive. */
struct numbers {
    unsigned of[OFFERED_MAX];
    size_t count;
};

struct client {
    bool used; /* valid until client_end or client_give_up */
    enum client_kind kind;
    int loop; /* which, or NO_LOOP */
    struct sse_emitter_options options;
    struct sse_emitter *emitter; /* NULL: not there */
    struct sse_replay replay;
    int server_fd; /* -1: none */
    ino_t server_inode;
    int fd; /* the client's own end; -1: there is none, or it has disconnected */
    char topics[8];

    bool reads;    /* it reads; false: the output will soon be full */
    size_t room;   /* CALLBACK: bytes that it accepts before it is full once */
    bool readable; /* PULL: on_ready came, or it is armed */
    bool blocked;  /* on_ready reported room */

    struct numbers offered; /* the events that were accepted for it */
    struct numbers later;   /* those behind a pause */
    bool paused;
    bool gap;            /* its last subscription had one ... */
    bool gap_is_unknown; /* ... after an id that is unknown */
    unsigned doubtful;   /* the last events offered: the emitter ended because of them */
    unsigned may_end;    /* a bit for each expected reason, in addition to the graceful one */
    bool may_miss;       /* events, which count as dropped */
    bool may_lose_bytes; /* written bytes that it cannot have received, because it has disconnected */

    size_t size;
    unsigned timeouts;
    unsigned errors;
    unsigned completions;
    unsigned releases;
    int error;                        /* the argument of on_error */
    struct sse_completion completion; /* its id is not valid any more */
    char last_id[256];                /* the copy of the id, which stays valid */
    char received[RECEIVED_MAX];
};

/** Sets the options of a new client of the server's registry, and opens its descriptors. */
struct client *client_prepare(size_t which, enum client_kind kind, int loop);

/** Reads what has arrived. */
void client_take(struct client *client);

/** From now on it reads, or does not. */
void client_read(struct client *client, bool reads);

/** Its emitter watches the socket of another client, or its own. */
void client_watch(struct client *client, struct client *owner);

/** Sends something. */
void client_say(struct client *client);
/** Closes its sending side. */
void client_half_close(struct client *client);
/** Closes its own end. */
void client_leave(struct client *client);

/** Its emitter is closed, and the loops have finished it. Checks its end and its stream, and closes the
 *  descriptors. */
void client_end(struct client *client);

/** For a client that could not join: closes the descriptors, which must not have changed. */
void client_give_up(struct client *client);

struct sse_emitter_info client_info(const struct client *client);
bool client_is_open(const struct client *client);

void numbers_add(struct numbers *numbers, unsigned number);
/** The server has filled the gap or not. Events for the other case are not sent. */
void client_offer_later(struct client *client, bool gap_filled);

/** In stream.c. Checks that it has received exactly what it must, and that its end agrees. */
void client_audit(struct client *client);

#endif
