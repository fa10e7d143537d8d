/* SPDX-License-Identifier: MIT */
#ifndef SSE_EMITTER_H
#define SSE_EMITTER_H

/**
 * An emitter: the event stream of one client. The shortest use, without a loop and a registry:
 *
 *     sse_emitter_new(&emitter, &options, NULL);
 *     sse_emitter_send(emitter, &(struct sse_event){.data = sse_str("hello")});
 *     sse_emitter_complete(emitter);
 *     sse_emitter_wait(emitter, 5000);
 *     sse_emitter_close(emitter);
 *
 * Threads. An emitter has an owner: the thread that writes, runs its timers and runs its callbacks.
 *
 * With a loop, the owner is the loop's thread, which does this work in its next turn.
 *
 * - Any thread may call any function while it holds a reference. Only one at a time may peek, consume or read,
 *   and only one at a time may wait.
 * - sse_emitter_new, send and publish may write to a descriptor at once, in any thread, because that runs
 *   none of your code.
 *
 * Without a loop, the owner is the thread that calls.
 *
 * - Only one thread at a time may use the emitter. You may hand it over to another thread.
 * - The work happens inside your calls of send, send_message, ping, start, complete, abort, flush and wait. While
 *   you wait for something else, call sse_emitter_flush about once a second, so that timers run.
 * - `on_release` runs in the thread that releases the last reference.
 * - Exception: with SSE_OUTPUT_PULL, other threads may publish, and may call everything but wait, peek, consume,
 *   read, flush and close. The owner does the work when it calls one of these, except while bytes that peek has
 *   shown are not consumed. The last unref is the owner's too, unless it has called close.
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
    /** Nowhere. You fetch them with sse_emitter_peek and consume, or with sse_emitter_read. */
    SSE_OUTPUT_PULL = 3
};

/** What surrounds each message on the wire. */
enum sse_framing {
    /** Nothing: HTTP/1.0, HTTP/2, and servers that write chunks themselves. */
    SSE_FRAMING_RAW = 0,
    /** A chunk for each message, and the last chunk at the end: RFC 9112 section 7.1. */
    SSE_FRAMING_CHUNKED = 1
};

/** The state of an emitter. It goes from open to draining to closed, or from open to closed. */
enum sse_state {
    SSE_STATE_OPEN = 0,
    /** No more events are accepted. The emitter ends when its queue is empty. */
    SSE_STATE_DRAINING = 1,
    SSE_STATE_CLOSED = 2
};

/**
 * Why an emitter ended. After the colon: the `error` of its completion record.
 *
 * Each emitter has one reason. The graceful reasons are COMPLETED, LIFETIME, EVICTED, and SHUTDOWN with the error
 * 0: with them every byte was written, except what was behind a pause. Later versions may add reasons.
 */
enum sse_reason {
    SSE_REASON_NONE = 0,          /**< it has not ended */
    SSE_REASON_COMPLETED = 1,     /**< sse_emitter_complete: 0 */
    SSE_REASON_LIFETIME = 2,      /**< lifetime_ms is over: 0 */
    SSE_REASON_STALLED = 3,       /**< bytes were queued, and none was written for stall_ms: -ETIMEDOUT */
    SSE_REASON_DRAIN_TIMEOUT = 4, /**< draining took longer than drain_ms: -ETIMEDOUT */
    SSE_REASON_DISCONNECTED = 5,  /**< the client is gone: -EPIPE, -ECONNRESET, -ECONNREFUSED,
                                       -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH */
    SSE_REASON_OUTPUT_ERROR = 6,  /**< the output returned another error: that error */
    SSE_REASON_OVERFLOW = 7,      /**< the queue was full: -ENOBUFS; there was no memory for it: -ENOMEM */
    SSE_REASON_ABORTED = 8,       /**< sse_emitter_abort: the error that was passed to it */
    SSE_REASON_CLOSED = 9,      /**< sse_emitter_close or sse_loop_free before it had ended: -ECANCELED */
    SSE_REASON_SHUTDOWN = 10,   /**< sse_registry_shutdown: 0, or -ETIMEDOUT if bytes were left */
    SSE_REASON_NOT_STARTED = 11, /**< it was paused for longer than start_ms: -ETIMEDOUT */
    SSE_REASON_EVICTED = 12     /**< a newer emitter took its place, by SSE_ADMISSION_EVICT_OLDEST: 0 */
};

/**
 * Returns the name of a reason for a log, such as "client disconnected". For a reason that this version
 * does not know it returns "unknown".
 *
 * Ownership: a static string. Threads: any. Callbacks: may call it. Errors: none.
 */
SSE_API const char *sse_reason_name(enum sse_reason reason);

/**
 * What happens to an event that does not fit into the queue. Dropped events are counted. An event that is partly
 * written, an event that sse_emitter_peek shows, and what does not count for the limits are never dropped: see
 * `queue_bytes` of struct sse_emitter_options.
 */
enum sse_overflow {
    /** The emitter ends, and the client reconnects. If the registry has a history, the client then gets what it
     *  missed. Otherwise these events are lost. */
    SSE_OVERFLOW_END = 0,
    /** The new event is dropped, and the emitter stays open. */
    SSE_OVERFLOW_DROP_NEWEST = 1,
    /** The oldest events are dropped, as many as necessary. */
    SSE_OVERFLOW_DROP_OLDEST = 2,
    /**
     * An event with a key replaces the queued event with the same key, whether the queue is full or
     * not. The new event goes to the end of the queue, so that ids keep their order. If it still does not fit,
     * the emitter ends. The time that this takes does not depend on how many events are queued.
     */
    SSE_OVERFLOW_COALESCE = 3
};

/** Why `on_ready` was called. */
enum sse_ready {
    /** PULL: there are bytes to consume, or the stream has ended. */
    SSE_READABLE = 1,
    /** FD in a driven loop, and CALLBACK: the output is full, and bytes are still queued. Call sse_emitter_flush
     *  when the output has room again; nothing is written before. It comes each time that the output becomes full,
     *  and may come several times in a row. */
    SSE_BLOCKED = 2
};

/** How an emitter ended. Valid during `on_completion`. The library may add members at the end. */
struct sse_completion {
    enum sse_reason reason;
    int error;                     /**< 0, or the negative errno that ended it */
    struct sse_text last_event_id; /**< the last id of the events written whole; absent if none had one */
    uint64_t events;               /**< events written whole; heartbeats do not count */
    uint64_t bytes;                /**< bytes written, with head and chunk framing */
    uint64_t dropped; /**< events that were accepted and never written, or that a full queue dropped */
    int64_t age_ms;   /**< milliseconds since sse_emitter_new */
};

/** Turns a timer off. */
#define SSE_TIMER_OFF INT64_C(-1)

/** Options of an emitter. Every member may be zero except `size`, `output` and, with CALLBACK, `write`. Copied by
 *  sse_emitter_new. */
struct sse_emitter_options {
    size_t size;                         /**< sizeof(struct sse_emitter_options) */
    const struct sse_platform *platform; /**< not copied: see <sse/platform.h> */

    /* Where it belongs. */

    /** The registry that publishes to it. NULL: none. Then the emitter gets only what you send to it. */
    struct sse_registry *registry;
    /** The loop that serves it. NULL: none. Then your own calls do the work, from one thread at a time. FD and
     *  CALLBACK in a registry need a loop, because publishing does not do their work. */
    struct sse_loop *loop;
    /** The topics that it is subscribed to, `topic_count` of them. An emitter in a registry also gets
     *  what is published to everyone. */
    const struct sse_text *topics;
    size_t topic_count;
    /** The last event id of the request: see sse_http_last_event_id. It may have any bytes; what cannot be an
     *  id is an unknown id, and so a gap. Absent or empty: the client is new, and nothing is replayed. */
    struct sse_text last_event_id;

    /* Where its bytes go. */

    enum sse_output output;
    /**
     * FD. The descriptor. The library never blocks on it and never raises SIGPIPE, whatever its flags are. It
     * turns SO_LINGER off and closes the descriptor at the end, after `on_completion`, unless `keep_fd` is set.
     *
     * - Do not close the descriptor before the library closes it, or with `keep_fd` before sse_emitter_close.
     *   Otherwise the next connection may get the same number, and its client receives the bytes. To end a
     *   connection early, call sse_emitter_abort or shutdown(2).
     * - Polled loop: the loop reads the socket and discards what it reads. When the client closes its sending
     *   side, the loop writes a comment. A client that is gone answers with a reset; one that still listens
     *   keeps its stream.
     * - Driven loop: you poll the descriptor until `on_completion`. When it has room after SSE_BLOCKED, call
     *   sse_emitter_flush. If you poll for input, read it and discard it. At the end of input, call
     *   sse_emitter_ping. At POLLHUP or POLLERR, call sse_emitter_abort(emitter, -ECONNRESET).
     * - A blocking descriptor that is not a socket is written in small pieces. Do not share such a pipe with
     *   another writer.
     */
    int fd;
    /** FD. You close the descriptor, after sse_emitter_close and not before. */
    bool keep_fd;
    /**
     * FD. If it is set, the library leaves the options of the socket unchanged until it closes the socket. Otherwise
     * it sets TCP_NODELAY and, where the system has it, TCP_USER_TIMEOUT to stall_ms.
     *
     * - If stall_ms is SSE_TIMER_OFF, TCP_USER_TIMEOUT is not set.
     * - Without TCP_USER_TIMEOUT, a client that vanishes without FIN or RST is noticed only after many minutes.
     * - TCP_USER_TIMEOUT also ends a client that accepts nothing for stall_ms while the kernel has bytes for it.
     */
    bool keep_socket_options;
    /**
     * CALLBACK. Writes bytes. Returns how many it has written, -EAGAIN (or 0) if there is no room, or another
     * negative errno, which ends the emitter.
     *
     * - It must not block, because the other emitters of the loop would wait.
     * - `iov` is valid during the call. It has at least one byte and at most 16 pieces.
     * - After -EINTR it is called again. 16 times -EINTR in a row count as -EAGAIN.
     * - A result above the bytes offered, or below -4095, ends the emitter with -EIO.
     * - Bytes that were offered and not written may be dropped before the next call. If your TLS library
     *   must be given the same bytes again, use SSE_OVERFLOW_END or SSE_OVERFLOW_DROP_NEWEST, and give it one
     *   piece at a time.
     */
    ssize_t (*write)(void *user, const struct iovec *iov, int count);
    /**
     * CALLBACK and PULL in a polled loop. The client's socket, which the loop watches. 0: none.
     *
     * - The emitter ends (SSE_REASON_DISCONNECTED) when the socket has an error or is hung up. When the
     *   client closes its sending side, the emitter writes a comment. A client that is gone answers with a reset.
     * - Systems with neither epoll nor POLLRDHUP (macOS, OpenBSD, NetBSD, illumos) report only errors to the
     *   loop. There the loop notices a client that has closed after the next write, such as the heartbeat.
     * - A write callback that returned -EAGAIN is called again when the socket has room. If it then writes nothing
     *   (TLS that must read first, a closed HTTP/2 window), call sse_emitter_flush yourself: see SSE_BLOCKED.
     * - The loop never reads the socket and never closes it. Close it only after sse_emitter_close.
     * - Several emitters may name one socket, as over HTTP/2.
     */
    int watch_fd;
    /** The framing, if `http` is NULL. Otherwise `http` decides. */
    enum sse_framing framing;

    /* What is written first. */

    /** The response head, which the emitter writes first. NULL: the server writes the head itself. */
    const struct sse_http_options *http;
    /** The reconnection time for the client, in milliseconds; 0: none. */
    int64_t retry_ms;
    /**
     * The emitter begins paused. What you send to it is written first, without a limit. The replay and live events
     * are queued behind the pause until sse_emitter_start. Use this to send the current state, or to fill a gap.
     *
     * - To deliver every change exactly once, hold one lock while you change the state and publish the change. Hold
     *   the same lock while you call sse_emitter_new and read the state. Then send the state, and start.
     * - Live events behind the pause may reach four times the limits of the queue. Heartbeats are written during
     *   the pause.
     * - If the stream ends gracefully during the pause, what is behind the pause is dropped. The client asks for
     *   it again.
     * - `emitter` of sse_emitter_new must not be NULL.
     */
    bool paused;

    /* Timers, in milliseconds. 0: the default. SSE_TIMER_OFF: none. */

    int64_t start_ms;           /**< the longest pause. Default: 30 000 */
    int64_t lifetime_ms;        /**< the stream ends gracefully at this age. Default: none */
    int64_t lifetime_jitter_ms; /**< a random part of this shortens the lifetime; at most lifetime_ms */
    int64_t stall_ms;           /**< the longest time without a write while bytes are queued. Default: 30 000 */
    int64_t drain_ms;           /**< the longest draining. Default: 5 000 */
    /** A comment is written after this long without a byte. For each emitter, the library shortens the time by a
     *  random part, up to a quarter. Default: 15 000 (WHATWG HTML 9.2.7). */
    int64_t heartbeat_ms;

    /* The queue. The head, the retry or comment behind it, a replay, what you send to a paused emitter and the
     * final event of a shutdown do not count. */

    size_t queue_bytes;    /**< the most bytes, with chunk framing. Default: 1 MiB */
    size_t queue_messages; /**< the most messages. Default: 4096 */
    enum sse_overflow overflow;

    /* Callbacks, each optional. See the top of this file for their thread. */

    /**
     * The emitter needs your attention. Only with a loop. `what` is one of enum sse_ready.
     *
     * - SSE_READABLE: peek or read until the call returns 0 or an error. Each 0 arms one call of `on_ready`, and
     *   a new emitter is armed. The call comes when there are bytes, or at the end of the stream.
     * - A call of `on_ready` disarms it, and so does a peek or read that returns bytes. Until the next 0 it is then
     *   not called, even if the emitter ends. So break the connection in `on_completion`.
     * - It never runs after `on_completion`, nor after sse_emitter_close has returned.
     */
    void (*on_ready)(struct sse_emitter *emitter, unsigned what, void *user);
    /** A timer ended the emitter: LIFETIME, STALLED, DRAIN_TIMEOUT or NOT_STARTED. Runs at most once. */
    void (*on_timeout)(struct sse_emitter *emitter, enum sse_reason reason, void *user);
    /** The emitter ended with this negative errno: DISCONNECTED, OUTPUT_ERROR, OVERFLOW or ABORTED. Runs at
     *  most once, and never together with `on_timeout`. */
    void (*on_error)(struct sse_emitter *emitter, int error, void *user);
    /**
     * The emitter has ended, for whatever reason. Runs exactly once, after `on_timeout` or `on_error`. Its
     * registry has forgotten the emitter already, and its output is no longer written to. If it runs after
     * sse_emitter_close, your connection may be gone: do not use it, and do not close the emitter again.
     */
    void (*on_completion)(struct sse_emitter *emitter, const struct sse_completion *completion, void *user);
    /** The last callback: every reference is released, and every other callback has returned. Runs exactly once if
     *  sse_emitter_new succeeded. Free `user` here. */
    void (*on_release)(void *user);
    void *user; /**< passed to the write callback and to every callback */
};

/** How a subscription begins. */
enum sse_replay_outcome {
    /** The client sent no Last-Event-ID: it gets live events only. */
    SSE_REPLAY_NONE = 0,
    /** Every event after that id is queued, or there was none. */
    SSE_REPLAY_COMPLETE = 1,
    /** The registry does not retain every event after that id, or does not know the id. The client may have
     *  missed events. After a known id, the events that are retained are queued. */
    SSE_REPLAY_GAP = 2
};

/** Room for an id in struct sse_replay, with its NUL. */
#define SSE_REPLAY_ID_SIZE (SSE_ID_SIZE_MAX + 1)

/** The result of a subscription. This struct never grows. */
struct sse_replay {
    enum sse_replay_outcome outcome;
    size_t messages; /**< how many were queued */
    /**
     * At a gap, `oldest` is the id of the first event after the gap that is queued, and `newest` that of the last
     * event that was published before the call. "" if there is none. With them you can fill the gap of a paused
     * emitter from your own store. Look up the client's id in the store:
     *
     * - The client's id is before `oldest`: send the events between the two. Then call
     *   sse_emitter_start(emitter, true).
     * - `oldest` is "": send the events after the client's id, up to and including `newest`. Then call
     *   sse_emitter_start(emitter, true).
     * - `newest` is "" too: nothing was published to this registry yet. Send the events after the client's id that
     *   were in the store before the first publish, and call sse_emitter_start(emitter, true). Without a history
     *   both are always "", so a gap cannot be filled exactly.
     * - The client's id is after `oldest` and not after `newest`, so the client had it from another process: send
     *   the events after it, up to and including `newest`. Then call sse_emitter_start(emitter, false), so that the
     *   older events from `oldest` on are not written. Leave `gap_type` absent; otherwise the client is told of the
     *   gap that you have filled.
     * - The client's id is after `newest`: the client had it from a process that was ahead of this one. What this
     *   process publishes next comes twice, up to that id. So wait until this process has read the id, and only
     *   then call sse_emitter_new. Do not wait for long: a client may send an id that no event will have.
     *
     * A paused emitter whose client has an id that the registry does not know has the retained events queued
     * behind the pause, from `oldest` on.
     */
    char oldest[SSE_REPLAY_ID_SIZE];
    char newest[SSE_REPLAY_ID_SIZE];
};

/**
 * Makes an emitter, subscribes it, and queues the head, the retry and the replay. Without a retry it queues a
 * comment, because some browsers report a stream as open only when the body begins. All of it happens, or nothing.
 *
 * - No event is lost or doubled. What was published before the call is in the replay; what is published after
 *   it follows.
 * - FD: the call writes what is queued: all of it, unless it is very long or the output is full.
 * - On an error nothing was written, nobody was evicted, no callback has run and none will, and the descriptor
 *   and `user` are still yours. Answer the request as you like: see sse_http_refuse.
 * - A client that is gone already is no error. Its emitter ends like any other.
 * - No callback runs inside the call, but the loop's thread may run some before it returns. So fill in `user`
 *   first. `*emitter` is set before the first callback.
 * - If `emitter` is NULL, do not use `user` after the call, because on_release may have freed it.
 * - `on_wake` of a driven loop may run inside the call.
 * Ownership: `*emitter` is a new reference: end it with sse_emitter_close. The library owns the descriptor,
 * unless `keep_fd` is set. `emitter` may be NULL for SSE_OUTPUT_FD with a loop, without `keep_fd` and without
 * `paused`. Then you hold no reference, and the loop keeps the emitter until it ends. `replay` may be NULL.
 * Threads: any. Callbacks: may call it.
 * Errors, with nothing changed:
 * - -EINVAL: `options` is NULL, or an option is not valid or does not go with another one.
 * - -EOVERFLOW: a length in `http` is larger than any memory.
 * - -EBADMSG: a topic is empty, or longer than SSE_TOPIC_SIZE_MAX. This is the client's mistake.
 * - -ERANGE: `retry_ms` is above SSE_RETRY_MAX or negative.
 * - -EMSGSIZE: the head is larger than SSE_EVENT_SIZE_MAX.
 * - -EBADF: `fd` or `watch_fd` is not open.
 * - -EEXIST: an emitter of this polled loop writes to or watches this descriptor already.
 * - -ENOSPC: the system cannot watch more descriptors.
 * - -EIO: the system cannot tell what `fd` or `watch_fd` is.
 * - -EAGAIN: a cap of the registry is reached.
 * - -ECONNREFUSED: the registry is shutting down, or the loop accepts no more emitters.
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
 * Ends the pause of a paused emitter. The replay and the live events follow what you have sent. Exception: if the
 * registry does not know the client's id, the retained events follow only with `gap_filled`.
 *
 * Set `gap_filled` if you have sent the events that were missing, as struct sse_replay describes. Then the
 * client is not told of a gap. Otherwise it is told, if `gap_type` is set. If there was no gap, `gap_filled` is
 * ignored.
 * Errors:
 * - -EINVAL: `emitter` is NULL.
 * - -EALREADY: the emitter is not paused.
 * - SSE_ENDED, or the errno that ended the emitter.
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
 * - With a loop, you may also release the reference of sse_emitter_new this way. The stream goes on, and the
 *   loop frees the emitter after its end. sse_emitter_close would end the stream.
 * - Without a loop, the release of the last reference closes the emitter.
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
 * Sends an event to this client alone. It is not retained and gets no id, so a client that reconnects does not get
 * it again. Give it an id only if you fill a gap: a client that reconnects with an id that the registry does not
 * know has a gap.
 *
 * Effect: 0 means that the event was accepted. It is written in order, unless the emitter ends first.
 * FD: the call writes it at once if nothing is queued before it and the output has room.
 * Ownership: the event is borrowed.
 * Errors:
 * - -EINVAL: `emitter` is NULL. Nothing changed.
 * - Every error of sse_event_encode. Nothing changed.
 * - -EMSGSIZE: the event is larger than queue_bytes. Nothing changed.
 * - -ENOBUFS: the queue is full. The event was dropped, or the emitter has ended, as `overflow` says.
 * - -ENOMEM: nothing changed, unless a part of this event was written. Then the emitter has ended.
 * - SSE_ENDED, or the errno that ended the emitter.
 * Specification: WHATWG HTML 9.2.5.
 * Example:
 *
 *     const struct sse_event event = {.data = sse_str("for you alone")};
 *     int error = sse_emitter_send(emitter, &event);
 */
SSE_API int sse_emitter_send(struct sse_emitter *emitter, const struct sse_event *event);

/**
 * Sends a message, as sse_emitter_send sends an event.
 *
 * Ownership: the queue takes its own reference.
 * Errors:
 * - Every error of sse_emitter_send, except those of encoding.
 * - -EINVAL: `message` is NULL.
 */
SSE_API int sse_emitter_send_message(struct sse_emitter *emitter, struct sse_message *message);

/**
 * Writes a comment, to find out whether the client is still there.
 *
 * - A comment does not count as an event.
 * - If bytes are queued, the call does nothing, because writing them finds it out too.
 * - PULL: you may have written already what sse_emitter_peek has shown, and the client may have disconnected since.
 *   So if nothing else is queued when you consume these bytes, the comment follows.
 *
 * Errors:
 * - -EINVAL: `emitter` is NULL.
 * - SSE_ENDED, or the errno that ended the emitter.
 */
SSE_API int sse_emitter_ping(struct sse_emitter *emitter);

/**
 * Ends the stream gracefully: the emitter drains. It accepts no more events, and within drain_ms it writes what
 * is queued, then the last chunk of a chunked stream. A replay and live events behind a pause are dropped.
 *
 * Errors:
 * - -EINVAL: `emitter` is NULL.
 * - -EALREADY: the emitter is draining or has ended.
 */
SSE_API int sse_emitter_complete(struct sse_emitter *emitter);

/**
 * Ends the stream at once. Neither what is queued nor the last chunk is written, so the client sees a broken
 * stream and reconnects. You may also abort an emitter that is draining.
 *
 * `error` is any negative errno. The completion record has it, `on_error` gets it, and later calls on the emitter
 * return it: see SSE_ENDED.
 *
 * - -EPIPE, -ECONNRESET, -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH: the reason is DISCONNECTED.
 * - Every other errno: the reason is ABORTED.
 * Errors:
 * - -EINVAL: `emitter` is NULL, or `error` is not a negative errno.
 * - -EALREADY: the emitter has ended.
 */
SSE_API int sse_emitter_abort(struct sse_emitter *emitter, int error);

/**
 * Closes an emitter: the counterpart of sse_emitter_new. It ends the stream if it has not ended yet, takes the
 * output away, and releases the reference. NULL is ignored.
 *
 * - An emitter that is open ends with SSE_REASON_CLOSED. If the client is gone, call
 *   sse_emitter_abort(emitter, -ECONNRESET) first, so that the reason says so.
 * - An emitter that is draining ends too. Exception: if a polled loop writes to a descriptor that the library
 *   owns, the loop still writes the rest.
 * - After the call a descriptor with `keep_fd`, `watch_fd`, the write callback and `on_ready` are never used
 *   again. The call waits for another thread that is using one of them. If you call it from inside the
 *   write callback or `on_ready`, it returns at once, and the promise holds from the return of that callback.
 * Ownership: `user` must stay valid until on_release.
 * Threads: do not hold a lock that the write callback or `on_ready` takes. Two emitters must not close
 * each other from inside those callbacks at the same time.
 * Callbacks: with a loop, the callbacks that are still due run in its next turn; otherwise they run before
 * the call returns. Errors: none.
 */
SSE_API void sse_emitter_close(struct sse_emitter *emitter);

/**
 * Tells the emitter that its output has room again. Returns 1 if bytes are queued, 0 if not.
 *
 * - With a loop: the next turn writes. It is due at once, so in a driven loop you may call sse_loop_turn now.
 * - Without a loop: the call writes, runs the timers that are due, and runs callbacks.
 * - PULL: nothing is written, because you fetch the bytes.
 * Errors:
 * - -EINVAL: `emitter` is NULL.
 * - SSE_ENDED, or the errno that ended the emitter.
 */
SSE_API int sse_emitter_flush(struct sse_emitter *emitter);

/**
 * PULL: shows the next bytes without copying them. Use them, then say how many you used with
 * sse_emitter_consume.
 *
 * Effect: fills up to `count` pieces and returns how many it filled. 0 means that nothing is queued;
 * the same atomic step arms `on_ready`, so no wake is lost.
 *
 * - If your server suspends the connection after 0, hold your own lock over peek and suspend, and take that lock
 *   in `on_ready`. Otherwise `on_ready` may come before the connection is suspended.
 * - Bytes that were shown and not consumed are still queued: stall_ms runs, and no heartbeat is due.
 * Ownership: the bytes are valid until the next peek, consume or read, even if the emitter ends, while
 * you hold your reference.
 * Threads: only one thread at a time may peek, consume and read. It need not be the loop's.
 * Errors:
 * - -EINVAL: `emitter` or `iov` is NULL, `count` is below 1, or the output is not PULL.
 * - SSE_ENDED: the stream has ended gracefully, and every byte was consumed.
 * - The errno that ended the emitter otherwise. Break the connection.
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
 * PULL: consumes the first `size` of the bytes that the last peek showed. They count as written. Peek again to
 * see the rest.
 *
 * Threads: as sse_emitter_peek.
 * Errors, with nothing consumed:
 * - -EINVAL: `emitter` is NULL, the output is not PULL, or `size` is more than was shown.
 */
SSE_API int sse_emitter_consume(struct sse_emitter *emitter, size_t size);

/**
 * PULL: copies the next bytes to `buffer` and consumes them.
 *
 * Returns how many bytes it copied. 0 means that nothing is queued, and arms `on_ready`. If you keep the bytes
 * for long before you write them, use peek and consume instead.
 * Threads: as sse_emitter_peek.
 * Errors:
 * - -EINVAL: `emitter` or `buffer` is NULL, `size` is 0 or above SSIZE_MAX, or the output is not PULL.
 * - SSE_ENDED, or the errno that ended the emitter, as sse_emitter_peek.
 */
SSE_API ssize_t sse_emitter_read(struct sse_emitter *emitter, void *buffer, size_t size);

/**
 * Waits until there are bytes to consume (PULL), or until every byte is written (FD).
 *
 * Returns 1 when that is so, and 0 when `timeout_ms` milliseconds of CLOCK_MONOTONIC are over. -1 waits without
 * a limit.
 *
 * - Without a loop, the call does the emitter's work meanwhile: timers, writes and callbacks.
 * - With a loop, only a PULL emitter can be waited for. The loop does the work.
 * Threads: one at a time.
 * Callbacks: must not call it for their own emitter.
 * Errors:
 * - -EINVAL: `emitter` is NULL, or `timeout_ms` is below -1.
 * - -EINVAL: the output is CALLBACK, or it is FD and there is a loop.
 * - -EINTR: sse_emitter_interrupt was called.
 * - -EDEADLK: called from inside a callback of this emitter.
 * - -ENOMEM.
 * - -EIO: FD: the system cannot wait for the descriptor. The stream goes on. Or the stream has ended, and its errno
 *   has another meaning here: see SSE_ENDED. `state` of sse_emitter_get_info says which.
 * - SSE_ENDED, or the errno that ended the emitter, as sse_emitter_peek.
 */
SSE_API int sse_emitter_wait(struct sse_emitter *emitter, int timeout_ms);

/**
 * PULL: makes the sse_emitter_wait that is running, or else the next one, return -EINTR.
 *
 * Threads: any that holds a reference.
 * Errors:
 * - -EINVAL: `emitter` is NULL, or the output is not PULL.
 */
SSE_API int sse_emitter_interrupt(struct sse_emitter *emitter);

/** A snapshot of an emitter. The library may add members at the end. */
struct sse_emitter_info {
    enum sse_state state;
    enum sse_reason reason; /**< NONE until it has ended */
    int error;              /**< as in the completion record */
    bool paused;
    size_t queued_bytes;    /**< accepted and not yet written; without what is queued behind a pause */
    size_t queued_messages; /**< not yet written whole */
    uint64_t events;        /**< written whole */
    uint64_t bytes;         /**< written */
    uint64_t dropped;       /**< as in the completion record */
    int64_t age_ms;         /**< milliseconds since sse_emitter_new */
};

/**
 * Fills `info` with a consistent snapshot. `size` is sizeof(struct sse_emitter_info). The smaller struct of an
 * older program gets the members that it has. In the larger struct of a newer program, members that the library
 * does not know become zero.
 *
 * Errors:
 * - -EINVAL: `emitter` or `info` is NULL, or `size` is 0.
 */
SSE_API int sse_emitter_get_info(struct sse_emitter *emitter, struct sse_emitter_info *info, size_t size);

#ifdef __cplusplus
}
#endif

#endif
