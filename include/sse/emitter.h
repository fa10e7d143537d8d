/* SPDX-License-Identifier: MIT */
#ifndef SSE_EMITTER_H
#define SSE_EMITTER_H

/**
 * An emitter: the event stream of one client. The least that a program needs, without loop and
 * registry:
 *
 *     sse_emitter_new(&emitter, &options, NULL);
 *     sse_emitter_send(emitter, &(struct sse_event){.data = sse_str("hello")});
 *     sse_emitter_complete(emitter);
 *     sse_emitter_wait(emitter, 5000);
 *     sse_emitter_close(emitter);
 *
 * Threads. An emitter has an owner, which does its work:
 *
 * - With a loop: the loop's thread. Any thread may call any function while it holds a reference. The
 *   loop writes and runs the callbacks in its next turn. sse_emitter_new, send and publish may write to a
 *   descriptor at once, in any thread, because that runs none of your code.
 * - Without a loop: one thread at a time; you may hand the emitter to another thread. Its calls of send,
 *   send_message, ping, start, complete, abort, flush and wait write, run the timers that are due and run
 *   the callbacks. Timers run only inside these calls: while you wait for something else, call
 *   sse_emitter_flush about once a second. `on_release` runs in the thread that releases the last reference.
 *   Exception: with SSE_OUTPUT_PULL, other threads may call everything but wait, peek, consume, read,
 *   flush and close, and may publish; the work waits until the owner calls one of these.
 *
 * Callbacks. They run without a lock of the library, and the emitter stays valid while they run.
 * They may call every function, for their own emitter too, unless the function says otherwise.
 */

#include <sse/event.h>
#include <sse/http.h>
#include <sse/message.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sse_emitter;
struct sse_loop;
struct sse_registry;

/** Where the bytes of an emitter go. */
enum sse_output {
    /** To a descriptor: a socket, a pipe, a terminal, a file. */
    SSE_OUTPUT_FD = 1,
    /** To a write callback. */
    SSE_OUTPUT_CALLBACK = 2,
    /** To whoever asks for them: sse_emitter_peek and consume, or sse_emitter_read. */
    SSE_OUTPUT_PULL = 3
};

/** What surrounds each message on the wire. */
enum sse_framing {
    /** Nothing: HTTP/1.0, HTTP/2, and servers that write chunks themselves. */
    SSE_FRAMING_RAW = 0,
    /** A chunk for each message, and the last chunk at the end: RFC 9112 section 7.1. */
    SSE_FRAMING_CHUNKED = 1
};

/** open -> draining -> closed, or open -> closed. */
enum sse_state {
    SSE_STATE_OPEN = 0,
    /** No more events are accepted. The emitter ends when its queue is empty. */
    SSE_STATE_DRAINING = 1,
    SSE_STATE_CLOSED = 2
};

/**
 * Why an emitter ended, with the `error` of its completion record. Each emitter has one reason. The
 * graceful reasons are COMPLETED, LIFETIME, and SHUTDOWN with the error 0: every byte was written.
 * Later versions may add reasons.
 */
enum sse_reason {
    SSE_REASON_NONE = 0,          /**< it has not ended */
    SSE_REASON_COMPLETED = 1,     /**< sse_emitter_complete: 0 */
    SSE_REASON_LIFETIME = 2,      /**< lifetime_ms is over: 0 */
    SSE_REASON_STALLED = 3,       /**< bytes were queued, and none was written for stall_ms: -ETIMEDOUT */
    SSE_REASON_DRAIN_TIMEOUT = 4, /**< draining took longer than drain_ms: -ETIMEDOUT */
    SSE_REASON_DISCONNECTED = 5,  /**< the client is gone: -EPIPE, -ECONNRESET, -ETIMEDOUT,
                                       -EHOSTUNREACH, -ENETUNREACH */
    SSE_REASON_OUTPUT_ERROR = 6,  /**< another error of the output: that error */
    SSE_REASON_OVERFLOW = 7,      /**< the queue was full: -ENOBUFS; no memory for it: -ENOMEM */
    SSE_REASON_ABORTED = 8,       /**< sse_emitter_abort: its error */
    SSE_REASON_CLOSED =
        9, /**< sse_emitter_close or sse_loop_free before every byte was written: -ECANCELED */
    SSE_REASON_SHUTDOWN = 10,   /**< sse_registry_shutdown: 0, or -ETIMEDOUT if bytes were left */
    SSE_REASON_NOT_STARTED = 11 /**< it was paused for longer than start_ms: -ETIMEDOUT */
};

/**
 * Returns the name of a reason for a log, such as "client disconnected". A reason that this version
 * does not know is "unknown".
 *
 * Ownership: a static string. Threads: any. Callbacks: may call it. Errors: none.
 */
SSE_API const char *sse_reason_name(enum sse_reason reason);

/**
 * What happens to an event that does not fit into the queue. Dropped events are counted. Never dropped
 * are the head, a replay, and an event that is partly written or that sse_emitter_peek is showing.
 */
enum sse_overflow {
    /** The emitter ends. The client reconnects with its Last-Event-ID and gets what it missed. */
    SSE_OVERFLOW_END = 0,
    /** The new event is dropped, and the emitter stays open. */
    SSE_OVERFLOW_DROP_NEWEST = 1,
    /** The oldest events are dropped, as many as necessary. */
    SSE_OVERFLOW_DROP_OLDEST = 2,
    /**
     * An event with a key replaces the queued event with the same key, whether the queue is full or
     * not. The new event goes to the end of the queue, so ids keep their order. If it does not fit even
     * then, the emitter ends. The time that this takes does not depend on how many events are queued.
     */
    SSE_OVERFLOW_COALESCE = 3
};

/** Why `on_ready` was called. */
enum sse_ready {
    /** PULL: there are bytes to consume, or the stream has ended. */
    SSE_READABLE = 1,
    /** FD in a driven loop, and CALLBACK: a write left bytes because the output is full. Call
     *  sse_emitter_flush when it has room again. */
    SSE_BLOCKED = 2
};

/** How an emitter ended. Valid during `on_completion`. The library may add members at the end. */
struct sse_completion {
    enum sse_reason reason;
    int error;                     /**< 0, or the negative errno that ended it */
    struct sse_text last_event_id; /**< of the last event that was written whole; absent if none had one */
    uint64_t events;               /**< events written whole; heartbeats do not count */
    uint64_t bytes;                /**< bytes written, with head and chunk framing */
    uint64_t dropped; /**< events that were accepted and never written, or dropped by a full queue */
    int64_t age_ms;   /**< milliseconds since sse_emitter_new */
};

/** Turns a timer off. */
#define SSE_TIMER_OFF INT64_C(-1)

/** Options of an emitter. Every member but `size` and `output` may be zero. Copied by sse_emitter_new. */
struct sse_emitter_options {
    size_t size;                         /**< sizeof(struct sse_emitter_options) */
    const struct sse_platform *platform; /**< not copied: see <sse/platform.h> */

    /* Where it belongs. */

    /** The registry that publishes to it. NULL: none; it gets what it is sent. */
    struct sse_registry *registry;
    /** The loop that serves it. NULL: none; your own calls do the work, from one thread at a time. Not
     *  possible for FD and CALLBACK in a registry: publishing does not do their work. */
    struct sse_loop *loop;
    /** The topics that it is subscribed to, `topic_count` of them. An emitter in a registry also gets
     *  what is published to everyone. */
    const struct sse_text *topics;
    size_t topic_count;
    /** What the client sent: see sse_http_last_event_id. Any bytes: what cannot be an id is an unknown
     *  id, and so a gap. Absent or empty: a new client, no replay. */
    struct sse_text last_event_id;

    /* Where its bytes go. */

    enum sse_output output;
    /**
     * FD. The library never blocks on it and never raises SIGPIPE, whatever its flags are. It closes
     * the descriptor at the end, after `on_completion`, unless `keep_fd` is set. A blocking descriptor
     * that is not a socket is written in small pieces; do not share such a pipe with another writer.
     *
     * - Polled loop: it reads the socket and throws away what it reads. When the client closes its
     *   sending side, it sends a comment: a client that is gone answers with a reset, and one that still
     *   listens goes on.
     * - Driven loop: you poll the descriptor. When it has room after SSE_BLOCKED: sse_emitter_flush. End of
     *   input: sse_emitter_ping. POLLHUP or POLLERR: sse_emitter_abort(emitter, -ECONNRESET). Take it out
     *   of your poll set in `on_completion`.
     */
    int fd;
    /** FD. You close the descriptor, after sse_emitter_close. */
    bool keep_fd;
    /**
     * FD. Leaves the socket's options alone. Otherwise the library sets TCP_NODELAY, and where the
     * system has it TCP_USER_TIMEOUT to stall_ms: without it a client that vanished without a word
     * (no FIN, no RST) is noticed only after many minutes. TCP_USER_TIMEOUT also ends a
     * client that takes no bytes for stall_ms while some wait in the kernel.
     */
    bool keep_socket_options;
    /**
     * CALLBACK. Writes bytes. Returns how many were written, -EAGAIN if there is no room (0 means the
     * same), or another negative errno, which ends the emitter.
     *
     * - It must not block: the other emitters of the loop would wait.
     * - `iov` is valid during the call. It holds at least one byte and at most 16 pieces.
     * - After -EINTR it is called again. 16 times in a row are taken for -EAGAIN.
     * - A result above the bytes offered, or below -4095, ends the emitter with -EIO.
     * - Bytes that were offered and not written may be dropped before the next call. A TLS library
     *   that must be given the same bytes again needs SSE_OVERFLOW_END or SSE_OVERFLOW_DROP_NEWEST, and
     *   must be given one piece at a time.
     */
    ssize_t (*write)(void *user, const struct iovec *iov, int count);
    /**
     * CALLBACK and PULL in a polled loop. The client's socket, which the loop watches. 0: none.
     *
     * - The emitter ends (SSE_REASON_DISCONNECTED) when the socket has an error or was hung up. When the
     *   client closes its sending side, a comment is sent: a client that is gone answers with a reset.
     * - Where the system has neither epoll nor POLLRDHUP (macOS, OpenBSD, NetBSD, illumos), the loop is told of
     *   errors only: a client that closes is noticed by the next write, such as the heartbeat.
     * - A write callback that returned -EAGAIN is called again when the socket has room. If it has room
     *   already (TLS that must read first, a closed HTTP/2 window), call sse_emitter_flush yourself:
     *   see SSE_BLOCKED.
     * - The loop never reads the socket and never closes it. Close it only after sse_emitter_close.
     * - Several emitters may name one socket, as over HTTP/2.
     */
    int watch_fd;
    /** If `http` is NULL: the framing. If `http` is set, it decides. */
    enum sse_framing framing;

    /* What comes first. */

    /** The response head, which the emitter writes first. NULL: the server sends the head itself. */
    const struct sse_http_options *http;
    /** The reconnection time that the client is told, in milliseconds; 0: none. */
    int64_t retry_ms;
    /**
     * The emitter begins paused: what you send it goes first, without a limit; replay and live events
     * wait behind it until sse_emitter_start. Use it to send the current state, or to fill a gap.
     *
     * - To have every change exactly once, hold the lock under which you change the state and publish,
     *   over sse_emitter_new and over reading the state. Then unlock, send the state, and start.
     * - Live events that wait may reach four times the queue's limits. Heartbeats are sent meanwhile.
     * - If the stream ends gracefully meanwhile, what waits is dropped: the client asks for it again.
     * - `emitter` of sse_emitter_new must not be NULL.
     */
    bool paused;

    /* Timers, in milliseconds. 0: the default. SSE_TIMER_OFF: none. */

    int64_t start_ms;           /**< the longest pause. Default: 30 000 */
    int64_t lifetime_ms;        /**< the stream ends gracefully at this age. Default: none */
    int64_t lifetime_jitter_ms; /**< a random part of this shortens the lifetime; it must not exceed it */
    int64_t stall_ms;           /**< bytes are queued, and none was written for this long. Default: 30 000 */
    int64_t drain_ms;           /**< the longest draining. Default: 5 000 */
    /** After this long without a byte, less up to a quarter at random, a comment is sent. Default:
     *  15 000 (WHATWG HTML 9.2.7). */
    int64_t heartbeat_ms;

    /* The queue. Head, first byte, retry, replay, what a paused emitter is sent and the final event of a
     * shutdown do not count. */

    size_t queue_bytes;    /**< the most bytes, with chunk framing. Default: 1 MiB */
    size_t queue_messages; /**< the most messages. Default: 4096 */
    enum sse_overflow overflow;

    /* Callbacks, each optional. See the top of this file for their thread. */

    /**
     * Only with a loop. `what` is one of enum sse_ready.
     *
     * - SSE_READABLE: read until peek or read returns 0 or an error. Each 0 arms one call; a new emitter is
     *   armed. If it is armed when the stream ends, it is called too.
     * - If the emitter ends while bytes are still unread, there is no `on_ready`: break the connection in
     *   `on_completion`.
     * - It never runs after `on_completion`, nor once sse_emitter_close has returned.
     */
    void (*on_ready)(struct sse_emitter *emitter, unsigned what, void *user);
    /** A timer ended the emitter: LIFETIME, STALLED, DRAIN_TIMEOUT or NOT_STARTED. At most once. */
    void (*on_timeout)(struct sse_emitter *emitter, enum sse_reason reason, void *user);
    /** DISCONNECTED, OUTPUT_ERROR, OVERFLOW or ABORTED: the emitter ended with this negative errno. At
     *  most once, and never together with `on_timeout`. */
    void (*on_error)(struct sse_emitter *emitter, int error, void *user);
    /**
     * The emitter has ended, for whatever reason. Exactly once, after `on_timeout` or `on_error`. Its
     * registry has forgotten it already, and its output is not written to any more. It may come after
     * sse_emitter_close: then only `user` is still valid.
     */
    void (*on_completion)(struct sse_emitter *emitter, const struct sse_completion *completion, void *user);
    /** The last callback, exactly once, if sse_emitter_new succeeded: every reference is released and
     *  every other callback has returned. Free `user` here. */
    void (*on_release)(void *user);
    void *user; /**< passed to the write callback and to every callback */
};

/** How a subscription begins. */
enum sse_replay_outcome {
    /** The client sent no Last-Event-ID: it gets live events only. */
    SSE_REPLAY_NONE = 0,
    /** Every event after that id is queued, or there was none. */
    SSE_REPLAY_COMPLETE = 1,
    /** The registry does not hold every event after that id, or does not know the id. What it holds
     *  after a known id is queued. The client may have missed events. */
    SSE_REPLAY_GAP = 2
};

/** Room for an id of a history in struct sse_replay, with its NUL. */
#define SSE_REPLAY_ID_SIZE (SSE_ID_SIZE_MAX + 1)

/** The result of a subscription. This struct never grows. */
struct sse_replay {
    enum sse_replay_outcome outcome;
    size_t messages; /**< how many were queued */
    /**
     * At a gap: `oldest` is the first event after the gap that is queued, `newest` the last one that was
     * published before the call; "" if there is none. To fill the gap of a paused emitter from your own
     * store:
     *
     * - Send the events after the client's id, up to but without `oldest`; if `oldest` is "", up to and
     *   with `newest`. Then sse_emitter_start(emitter, true). A paused emitter also has waiting what follows an
     *   id that the registry does not know.
     * - If your store knows the client's id and has it after `oldest`, this registry did not know it: send
     *   the events after it, up to and with `newest`. Then sse_emitter_start(emitter, false), so that
     *   the older events from `oldest` on are not sent. Leave `gap_type` absent, or the client is told of
     *   the gap that you have filled.
     */
    char oldest[SSE_REPLAY_ID_SIZE];
    char newest[SSE_REPLAY_ID_SIZE];
};

/**
 * Makes an emitter, subscribes it, and queues the head, a first byte of the body, the retry and the
 * replay. All of it happens, or nothing.
 *
 * Effect: on an error nothing was written, nobody was evicted, no callback has run and none will, and
 * the descriptor and `user` are still yours: answer the request as you like (sse_http_refuse). On
 * success the emitter belongs to its owner. A client that has left already ends like any other.
 *
 * - FD: what is queued is written before the call returns, in one write where it fits.
 * - No event is lost or doubled: what was published before the call is in the replay, what is published
 *   after it follows.
 * - No callback runs inside the call, but the loop's thread may run some before it returns: fill in
 *   `user` first. `*emitter` is set before the first callback.
 * - If `emitter` is NULL, do not use `user` after the call: on_release may have freed it.
 * - `on_wake` of a driven loop may run inside the call.
 * Ownership: `*emitter` is a new reference: end it with sse_emitter_close. The descriptor is the
 * library's, unless `keep_fd`. `emitter` may be NULL if the library owns the descriptor and there is a
 * loop: then the loop keeps the emitter until it ends. `replay` may be NULL.
 * Threads: any. Callbacks: may call it.
 * Errors, with nothing changed:
 * - -EINVAL: NULL options, or an option that is not valid or does not go with another one.
 * - -EOVERFLOW: a length in `http` is larger than any memory.
 * - -EBADMSG: a topic is empty, or longer than SSE_TOPIC_SIZE_MAX. The client's mistake.
 * - -ERANGE: `retry_ms` is above SSE_RETRY_MAX or negative.
 * - -EMSGSIZE: the head is larger than SSE_EVENT_SIZE_MAX.
 * - -EBADF: `fd` or `watch_fd` is not open.
 * - -EEXIST: an emitter of this polled loop writes to or watches this descriptor already.
 * - -ENOSPC: the system cannot watch more descriptors.
 * - -EIO: the system cannot tell what `fd` or `watch_fd` is.
 * - -EAGAIN: over a cap of the registry.
 * - -ECONNREFUSED: the registry is shutting down, or the loop takes no more emitters.
 * - -ENOMEM.
 * Specification: WHATWG HTML 9.2.2 (processing model), 9.2.4 (Last-Event-ID).
 * Example:
 *
 *     struct sse_emitter_options options = {.size = sizeof(options), .registry = registry, .loop = loop};
 *     options.output = SSE_OUTPUT_FD;
 *     options.fd = client;
 *     options.http = &http;
 *     options.topics = &topic;
 *     options.topic_count = 1;
 *     error = sse_emitter_new(&emitter, &options, NULL);
 */
SSE_API int sse_emitter_new(struct sse_emitter **emitter, const struct sse_emitter_options *options,
                            struct sse_replay *replay);

/**
 * Ends the pause of a paused emitter: the replay and the live events follow what you have sent.
 *
 * `gap_filled`: you have sent the events that were missing, as struct sse_replay describes it. The client
 * is then not told of a gap. Ignored if there was none.
 * Errors: -EINVAL: NULL. -EALREADY: it is not paused. SSE_ENDED, or the errno that ended it.
 */
SSE_API int sse_emitter_start(struct sse_emitter *emitter, bool gap_filled);

/**
 * Takes another reference and returns `emitter`. NULL returns NULL.
 *
 * Errors: none.
 */
SSE_API struct sse_emitter *sse_emitter_ref(struct sse_emitter *emitter);

/**
 * Releases a reference. NULL is ignored.
 *
 * With a loop, you may also release the reference of sse_emitter_new this way: the stream goes on, and the
 * loop frees the emitter after its end. sse_emitter_close would end the stream. Without a loop, the last
 * release is a close.
 *
 * Callbacks: may call it, for their own emitter too. Errors: none.
 */
SSE_API void sse_emitter_unref(struct sse_emitter *emitter);

/**
 * Returns the `user` of the options. NULL returns NULL.
 *
 * Errors: none.
 */
SSE_API void *sse_emitter_user(const struct sse_emitter *emitter);

/**
 * Sends an event to this client alone.
 *
 * Effect: 0 means that the event was accepted. It is written in order, unless the emitter ends first.
 * FD: the call writes it at once if nothing is queued before it and the output has room.
 * Ownership: the event is borrowed.
 * Errors:
 * - -EINVAL: `emitter` is NULL. Every error of sse_event_encode. Nothing changed.
 * - -EMSGSIZE: the event is larger than queue_bytes. Nothing changed.
 * - -ENOBUFS: the queue is full. The event was dropped, or the emitter has ended, as `overflow` says.
 * - -ENOMEM: nothing changed, unless a part of this event was written: then the emitter has ended.
 * - SSE_ENDED, or the errno that ended the emitter.
 * Specification: WHATWG HTML 9.2.5.
 * Example:
 *
 *     const struct sse_event event = {.id = sse_str("17"), .data = sse_str("for you alone")};
 *     int error = sse_emitter_send(emitter, &event);
 */
SSE_API int sse_emitter_send(struct sse_emitter *emitter, const struct sse_event *event);

/**
 * Sends a message that is encoded already, as sse_emitter_send does.
 *
 * Ownership: the queue takes a reference of its own.
 * Errors: -EINVAL: NULL. -EMSGSIZE, -ENOBUFS, -ENOMEM, SSE_ENDED and others as sse_emitter_send.
 */
SSE_API int sse_emitter_send_message(struct sse_emitter *emitter, struct sse_message *message);

/**
 * Sends a comment that counts as no event, to find out whether the client is still there. Does nothing
 * if bytes are queued, because those find it out too. PULL: bytes that sse_emitter_peek has shown may be
 * used already; if nothing is queued behind them, the comment follows when they are consumed.
 *
 * Errors: -EINVAL: NULL. SSE_ENDED, or the errno that ended the emitter.
 */
SSE_API int sse_emitter_ping(struct sse_emitter *emitter);

/**
 * Ends the stream gracefully: what is queued is written, then the last chunk if it is chunked, within
 * drain_ms. No more events are accepted. A replay and live events that wait behind a pause are
 * dropped.
 *
 * Errors: -EINVAL: NULL. -EALREADY: it is draining or has ended.
 */
SSE_API int sse_emitter_complete(struct sse_emitter *emitter);

/**
 * Ends the stream at once. What is queued is not written, nor the last chunk: the client sees a broken
 * stream and reconnects. A draining emitter can be aborted too.
 *
 * `error` is any negative errno. It stands in the completion record and is passed to `on_error`.
 * -EPIPE, -ECONNRESET, -ETIMEDOUT, -EHOSTUNREACH and -ENETUNREACH give the reason DISCONNECTED, every
 * other ABORTED. Later calls on the emitter return it: see SSE_ENDED.
 * Errors: -EINVAL: NULL, or `error` is not a negative errno. -EALREADY: it has ended.
 */
SSE_API int sse_emitter_abort(struct sse_emitter *emitter, int error);

/**
 * You are done with the emitter: the counterpart of sse_emitter_new. NULL is ignored.
 *
 * - Draining, and a polled loop writes to a descriptor that the library owns: the rest is still written.
 * - Otherwise, if it has not ended, it ends (SSE_REASON_CLOSED), and the output is taken away. After the
 *   call the descriptor of `keep_fd`, `watch_fd`, the write callback and `on_ready` are never used again.
 *   The call waits for another thread that is using one of them at this moment. Called from inside
 *   one of them, it returns at once, and the promise holds from the return of that callback.
 *
 * Then it releases the reference. If the client left, call sse_emitter_abort(emitter, -ECONNRESET)
 * first, so that the reason says so.
 * Ownership: `user` must stay valid until on_release.
 * Threads: do not hold a lock that the write callback or `on_ready` takes. Two emitters must not close
 * each other from inside those callbacks at the same time.
 * Callbacks: with a loop, the callbacks that are owed run in its next turn; otherwise they run before
 * the call returns. Errors: none.
 */
SSE_API void sse_emitter_close(struct sse_emitter *emitter);

/**
 * Tells the emitter that its output has room again. With a loop, the next turn writes, which is due at
 * once: in a driven loop you may call sse_loop_turn now. Without a loop, the call writes.
 *
 * Returns 1 if bytes are queued, 0 if not. PULL: only returns that.
 * Errors: -EINVAL: NULL. SSE_ENDED, or the errno that ended the emitter.
 */
SSE_API int sse_emitter_flush(struct sse_emitter *emitter);

/**
 * PULL: shows the next bytes without copying them. Use them, then say how many you used with
 * sse_emitter_consume.
 *
 * Effect: fills up to `count` pieces and returns how many it filled. 0 means that nothing is queued;
 * the same atomic step arms `on_ready`, so no wake is lost. A server that suspends its connection holds
 * a lock of its own over peek and suspend, and takes it in `on_ready`.
 * Bytes that were shown and not consumed are still queued: stall_ms runs, and no heartbeat is due.
 * Ownership: the bytes are valid until the next peek, consume or read, even if the emitter ends, while
 * you hold your reference.
 * Threads: one thread at a time consumes from an emitter; it need not be the loop's.
 * Errors: -EINVAL: NULL, `count` below 1, or not PULL. At the end of the stream: SSE_ENDED if it ended
 * gracefully and every byte was consumed, otherwise the errno that ended it: break the connection.
 * Example:
 *
 *     struct iovec iov[4];
 *     int count = sse_emitter_peek(emitter, iov, 4);
 *     ssize_t used = count > 0 ? writev(client, iov, count) : 0;
 *     if (used > 0)
 *         error = sse_emitter_consume(emitter, (size_t)used);
 */
SSE_API int sse_emitter_peek(struct sse_emitter *emitter, struct iovec *iov, int count);

/**
 * PULL: says that the first `size` of the bytes that the last peek showed are used. They count as
 * written. Peek again to see the rest.
 *
 * Threads: as sse_emitter_peek.
 * Errors: -EINVAL: NULL, not PULL, or more than was shown; nothing is consumed.
 */
SSE_API int sse_emitter_consume(struct sse_emitter *emitter, size_t size);

/**
 * PULL: copies the next bytes to `buffer` and consumes them.
 *
 * Returns how many bytes it copied; 0 as sse_emitter_peek, with `on_ready` armed. If you keep the bytes
 * for long before the client has them, use peek and consume instead.
 * Threads: as sse_emitter_peek.
 * Errors: -EINVAL: NULL, `size` 0 or above SSIZE_MAX, or not PULL. The end of the stream as
 * sse_emitter_peek.
 */
SSE_API ssize_t sse_emitter_read(struct sse_emitter *emitter, void *buffer, size_t size);

/**
 * Waits until there is something to do. Without a loop it does the emitter's work meanwhile: timers, writes,
 * callbacks. With a loop, PULL only: the loop does the work, and the call only waits.
 *
 * Returns 1 when there is something to do: PULL: bytes to consume; FD: every byte is written, and the
 * stream is open. Returns SSE_ENDED when it has ended gracefully. Returns 0 after `timeout_ms` milliseconds
 * of CLOCK_MONOTONIC; -1 waits without a limit.
 * Threads: one at a time.
 * Callbacks: must not call it for their own emitter (-EDEADLK).
 * Errors: -EINVAL: NULL, `timeout_ms` below -1, CALLBACK, or FD with a loop. -EINTR:
 * sse_emitter_interrupt. -ENOMEM. -EDEADLK. The end of the stream as sse_emitter_peek.
 */
SSE_API int sse_emitter_wait(struct sse_emitter *emitter, int timeout_ms);

/**
 * PULL: makes the sse_emitter_wait that is running, or else the next one, return -EINTR.
 *
 * Threads: any that holds a reference. Errors: -EINVAL: NULL, or not PULL.
 */
SSE_API int sse_emitter_interrupt(struct sse_emitter *emitter);

/** A snapshot of an emitter. The library may add members at the end. */
struct sse_emitter_info {
    enum sse_state state;
    enum sse_reason reason; /**< NONE until it has ended */
    int error;              /**< as in the completion record */
    bool paused;
    size_t queued_bytes;    /**< accepted and not yet written; without what waits behind a pause */
    size_t queued_messages; /**< not yet written whole */
    uint64_t events;        /**< written whole */
    uint64_t bytes;         /**< written */
    uint64_t dropped;       /**< as in the completion record */
    int64_t age_ms;         /**< milliseconds since sse_emitter_new */
};

/**
 * Fills `info` with a consistent snapshot. `size` is sizeof(struct sse_emitter_info): a smaller struct,
 * of an older program, gets the members that it has.
 *
 * Errors: -EINVAL: NULL, or `size` is 0.
 */
SSE_API int sse_emitter_get_info(struct sse_emitter *emitter, struct sse_emitter_info *info, size_t size);

#ifdef __cplusplus
}
#endif

#endif
