/* SPDX-License-Identifier: MIT */
#ifndef SSE_EMITTER_H
#define SSE_EMITTER_H

/**
 * An emitter: the stream of one client.
 *
 * Rules that hold for every function below, and are repeated only where they differ:
 *
 * - Threads: any thread may call any function while it holds a reference.
 * - Hooks: every function may be called from every hook and from the write callback, of this
 *   emitter or of another. From inside the write callback, on_ready or on_blocked of the same
 *   emitter, sending only queues, and ending it takes its course when the callback returns; peek,
 *   advance, read and info act at once.
 * - No lock of the library is held while a hook or a write callback runs.
 */

#include <sse/event.h>
#include <sse/host.h>
#include <sse/message.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sse_emitter;

/** How the bytes leave. */
enum sse_drain {
    /** The emitter writes to a file descriptor: sockets, pipes, terminals, files. */
    SSE_DRAIN_FD = 1,
    /** The emitter calls a write callback. */
    SSE_DRAIN_CALLBACK = 2,
    /** The host takes them: sse_emitter_peek and advance, or read, or wait and read. */
    SSE_DRAIN_PULL = 3
};

/** What surrounds each message on the wire. */
enum sse_framing {
    /** Nothing: HTTP/1.0, HTTP/2, and servers that chunk by themselves. */
    SSE_FRAMING_RAW = 0,
    /** A chunk for each message, and the last chunk at completion: RFC 9112 section 7.1. */
    SSE_FRAMING_CHUNKED = 1
};

/** open -> draining -> closed, or open -> closed. */
enum sse_state {
    SSE_STATE_OPEN = 0,
    /** It ends once the queue is empty; nothing more is accepted. */
    SSE_STATE_DRAINING = 1,
    SSE_STATE_CLOSED = 2
};

/**
 * Why an emitter ended. Exactly one reason ends it; each has its `error` in the completion record.
 * After a graceful end, COMPLETED, LIFETIME, or a SHUTDOWN whose error is 0, calls on the emitter return -ESHUTDOWN,
 * after any other they return that error. Later versions may add reasons.
 */
enum sse_reason {
    SSE_REASON_NONE = 0,        /**< it has not ended */
    SSE_REASON_COMPLETED = 1,   /**< sse_emitter_complete, and every byte was written: 0 */
    SSE_REASON_LIFETIME = 2,    /**< the lifetime ran out, and every byte was written: -ETIMEDOUT */
    SSE_REASON_STALL = 3,       /**< bytes were queued and none left in stall_ms: -ETIMEDOUT */
    SSE_REASON_DRAIN = 4,       /**< draining took longer than drain_ms: -ETIMEDOUT */
    SSE_REASON_PEER_GONE = 5,   /**< from the sink or from the host: -EPIPE, -ECONNRESET */
    SSE_REASON_IO_ERROR = 6,    /**< any other error of the sink: that error */
    SSE_REASON_OVERFLOW = 7,    /**< the queue was full: -ENOBUFS; no memory to grow it: -ENOMEM;
                                     a published event over queue_bytes: -EMSGSIZE */
    SSE_REASON_APPLICATION = 8, /**< sse_emitter_complete_with_error: its error */
    SSE_REASON_DETACHED = 9,    /**< detached, or the last reference given back: -ECANCELED */
    SSE_REASON_SHUTDOWN = 10    /**< sse_registry_shutdown: 0 if every byte was written, which is
                                     graceful, -ETIMEDOUT if it was cut */
};

/**
 * What becomes of an event that does not fit into the queue. An event whose first byte has left is
 * never dropped, nor are head and retry. Dropped events are counted.
 */
enum sse_overflow {
    /** The emitter ends. The client reconnects with its Last-Event-ID and loses nothing that the
     *  history holds. */
    SSE_OVERFLOW_CLOSE = 0,
    /** The new event is dropped: sse_emitter_send returns -ENOBUFS, the emitter goes on. */
    SSE_OVERFLOW_DROP_NEWEST = 1,
    /** The oldest events are dropped, as many as it takes. */
    SSE_OVERFLOW_DROP_OLDEST = 2,
    /** An event with a key takes the place of a waiting one with the same key, full or not: the
     *  older is dropped, the newer waits at the end, so that ids keep their order. If it does not
     *  fit even so, as CLOSE. */
    SSE_OVERFLOW_COALESCE = 3
};

/** The record that on_completion receives. Valid during the hook. */
struct sse_completion {
    size_t size; /**< sizeof(struct sse_completion), as the library has it */
    enum sse_reason reason;
    int error;                    /**< 0, or the negative errno that ended it */
    struct sse_str last_event_id; /**< of the last event written whole; absent if none had one */
    uint64_t events;              /**< events written whole; comments count, heartbeats do not. Of a
                                       batch that was torn, those before the tear that end in a
                                       blank line */
    uint64_t bytes;               /**< bytes written: head and chunk framing included */
    uint64_t dropped;             /**< events lost: to overflow, or unsent at the end; not the one that was one too many for CLOSE */
    int64_t age_ms;               /**< milliseconds since sse_emitter_new */
};

/** A timer that is off. */
#define SSE_TIMER_OFF INT64_C(-1)

/**
 * What an emitter is made of. All members but `size` and `drain` may be zero, which means the
 * default given. Copied by sse_emitter_new.
 */
struct sse_emitter_options {
    size_t size;                 /**< sizeof(struct sse_emitter_options) */
    const struct sse_host *host; /**< not copied: see <sse/host.h> */

    enum sse_drain drain;
    enum sse_framing framing;

    /**
     * SSE_DRAIN_FD. The emitter never closes it, never changes its flags, never blocks on it
     * whatever O_NONBLOCK says, and never raises SIGPIPE. A blocking descriptor that is no socket
     * is written in small pieces after poll(2) says that there is room; do not share such a pipe
     * with another writer.
     */
    int fd;

    /**
     * SSE_DRAIN_CALLBACK. Returns the bytes taken (fewer than offered is fine), -EAGAIN if there
     * is no room (0 means the same), or another negative errno, which ends the emitter. It must
     * not block: whoever publishes would wait. It may be entered from whichever thread sends,
     * publishes, flushes or ticks, but never by two at once. After -EAGAIN, sse_emitter_flush
     * says that there is room again. At least one byte is offered; a result above what was offered
     * or below -4095 ends the emitter with -EIO. What was offered and not taken may be dropped before the
     * next call: a TLS library that must then be given the same bytes wants SSE_OVERFLOW_CLOSE or
     * DROP_NEWEST, and one piece at a time.
     */
    ssize_t (*write)(void *user, const struct iovec *iov, int count);

    /** Bytes sent before all else and outside the chunk framing: the response head, if the host
     *  does not send it itself. See sse_http_head. */
    struct sse_str head;
    /** Reconnection time that the stream begins with, in milliseconds; 0 for none. */
    int64_t retry_ms;

    /* Timers, in milliseconds: 0 for the default, SSE_TIMER_OFF for none; another
     * negative value is -EINVAL, and so is any negative lifetime_jitter_ms. They run in
     * sse_emitter_tick and sse_registry_tick; no thread is started. A stall_ms, drain_ms or heartbeat_ms
     * above 4 294 967 294 (49 days) is none. */

    /** The stream ends gracefully at this age. Default: none. */
    int64_t lifetime_ms;
    /** Up to so much is taken off the lifetime, at random. Default: nothing. */
    int64_t lifetime_jitter_ms;
    /** Bytes are queued, and none has left for so long. Default: 30 000. */
    int64_t stall_ms;
    /** From complete (or the lifetime) to the last byte. Default: 5 000. */
    int64_t drain_ms;
    /** After so long without a byte, less up to a quarter at random, a comment is sent. Default:
     *  15 000 (WHATWG HTML 9.2.7). It also finds out who has left without a word: the first write is
     *  answered with a reset, the second fails; a host that watches its socket sees the reset. */
    int64_t heartbeat_ms;

    /** The most bytes that wait, chunk framing included. An event larger than this can never be
     *  sent. Default: 1 MiB. 4 GiB and more means a byte less than that. */
    size_t queue_bytes;
    /** The most messages that wait. Default: 4096. */
    size_t queue_messages;
    enum sse_overflow overflow;

    /* Hooks, each optional. They run in the thread whose call brings them about. */

    /**
     * SSE_DRAIN_PULL. The last peek or read found nothing, and now there are bytes to take, or the
     * end. Once after one or more of them returned 0. Another thread may be inside the hook
     * before that call has returned, or tell of bytes that a later read has taken already: a host
     * in which waking twice, or too early, does harm keeps a flag under a lock of its own (see
     * sse_emitter_peek). It is part of the sink: never entered by two threads, and never running
     * once sse_emitter_detach has returned.
     */
    void (*on_ready)(struct sse_emitter *emitter, void *user);
    /**
     * SSE_DRAIN_FD and SSE_DRAIN_CALLBACK. The sink takes no more: call sse_emitter_flush when it
     * does. Once until the queue has been empty again. In another thread than the loop's, tell the
     * loop and let it change its poll interest, unless that is one-shot or edge-triggered. Part of
     * the sink, as on_ready.
     */
    void (*on_blocked)(struct sse_emitter *emitter, void *user);
    /** A timer ended the emitter. `reason` is LIFETIME, STALL or DRAIN. At most once. */
    void (*on_timeout)(struct sse_emitter *emitter, enum sse_reason reason, void *user);
    /** PEER_GONE, IO_ERROR, OVERFLOW or APPLICATION ended it; `error` is a negative errno. At most
     *  once, and never beside on_timeout. */
    void (*on_error)(struct sse_emitter *emitter, int error, void *user);
    /** The emitter has ended, whatever the reason: exactly once, the last of its hooks, after its
     *  registry has forgotten it. From its beginning on the sink is never touched again. It may run
     *  in any thread: if another thread polls the descriptor, reads from the emitter or may call
     *  it, only tell that thread, which then detaches, closes and gives its reference back; a host
     *  with one thread does so here. */
    void (*on_completion)(struct sse_emitter *emitter, const struct sse_completion *completion, void *user);

    /** The emitter is gone: its last reference was given back and all hooks have returned. Exactly
     *  once, unless sse_emitter_new failed. The place to free `user`, and not earlier: after a
     *  detach, on_error, on_timeout and on_completion may still run in another thread. */
    void (*on_release)(void *user);

    void *user; /**< handed to the write callback and the hooks */
};

/**
 * Makes an emitter, and for the drains FD and CALLBACK writes head and retry at once, as far as
 * the sink takes them.
 *
 * Ownership: `*emitter` is a new reference. Options are copied, the head included. The descriptor
 * stays the host's. No hook but on_blocked runs before this returns; on an error none ever runs.
 * Errors, with *emitter untouched and nothing more written: -EINVAL (NULL; unknown size; drain or
 * another member out of range; FD with a negative descriptor; CALLBACK without write), -ERANGE
 * (retry_ms), -EMSGSIZE (head and retry exceed queue_bytes, or the head SSE_EVENT_SIZE_MAX), -EBADF
 * (the descriptor is not open), -ENOMEM, and any error of the first write (-EPIPE: the client has
 * left already).
 */
SSE_API int sse_emitter_new(struct sse_emitter **emitter, const struct sse_emitter_options *options);

/**
 * Takes one more reference and returns `emitter`; NULL gives NULL.
 *
 * Errors: none.
 */
SSE_API struct sse_emitter *sse_emitter_ref(struct sse_emitter *emitter);

/**
 * Gives a reference back. The last one frees the emitter; if it has not ended yet, it is detached
 * first, and its hooks run; a reference that they take keeps it. A registry holds a reference to each of its
 * emitters, so an emitter in a registry lives on without the host's. NULL is nothing.
 *
 * Hooks: may call, for their own emitter too; it is freed when the hook has returned.
 * Errors: none.
 */
SSE_API void sse_emitter_unref(struct sse_emitter *emitter);

/**
 * The `user` of the options. NULL for NULL.
 *
 * Errors: none.
 */
SSE_API void *sse_emitter_user(const struct sse_emitter *emitter);

/**
 * The descriptor of an emitter with the drain FD; it stays the host's.
 *
 * Errors: -EINVAL (NULL, or another drain).
 */
SSE_API int sse_emitter_fd(const struct sse_emitter *emitter);

/**
 * Sends an event: encodes and queues it, then writes as much of the queue as the sink takes.
 *
 * Effect: 0 means that the event was accepted: it was written, or it will be, in order, unless the
 * emitter ends first. When another thread is writing to this sink, that thread takes it along.
 * Hooks that this brings about run before it returns.
 * Ownership: the event is borrowed; its memory may be reused at once.
 * Errors: those of sse_event_encode, with the emitter unchanged; -EINVAL (emitter NULL);
 * -EMSGSIZE (larger than queue_bytes, unchanged); -ENOMEM (unchanged, unless the sink had taken a
 * part of this very event: then the emitter ends with it); -ENOBUFS (the queue was full: the
 * emitter has ended, or the event was dropped, as `overflow` says); once the emitter has begun to end
 * -ESHUTDOWN, or the errno that ended it. Specification: WHATWG HTML 9.2.5.
 */
SSE_API int sse_emitter_send(struct sse_emitter *emitter, const struct sse_event *event);

/**
 * Sends a message that was encoded before, as sse_emitter_send does.
 *
 * Ownership: the queue takes a reference of its own.
 * Errors: -EINVAL (NULL), and those of sse_emitter_send from -EMSGSIZE on.
 */
SSE_API int sse_emitter_send_message(struct sse_emitter *emitter, struct sse_message *message);

/**
 * Ends the stream gracefully: what is queued is still written, then the last chunk when chunked,
 * within drain_ms. Nothing more is accepted.
 *
 * Errors: -EINVAL (NULL), -EALREADY (it is ending or has ended).
 */
SSE_API int sse_emitter_complete(struct sse_emitter *emitter);

/**
 * Ends the stream at once. What is queued is not written, and no last chunk: the client sees a
 * broken stream, and reconnects. A draining emitter can still be ended so.
 *
 * Effect: `error` is a negative errno, but not -ESHUTDOWN, -EINTR or -EINVAL, which would be
 * mistaken for other answers of peek, read and wait. -EPIPE and -ECONNRESET mean that the client
 * has left, and give the reason PEER_GONE, all others APPLICATION. If another thread is inside the
 * sink, that thread runs the hooks when it leaves the sink.
 * Errors: -EINVAL (NULL, error not negative, below -4095 or one of those three), -EALREADY (it has
 * ended).
 */
SSE_API int sse_emitter_complete_with_error(struct sse_emitter *emitter, int error);

/**
 * Takes the sink away from the emitter. After it returns the descriptor, the write callback,
 * on_ready and on_blocked are never touched again, whatever other threads do: the descriptor may
 * be closed, and the server's own connection forgotten (`user` lives until on_release). An emitter
 * that has not ended ends with the reason DETACHED. For the owner of the connection: on_ready does
 * not tell a suspended host of it; others use complete or complete_with_error.
 *
 * Effect: waits for a thread that is inside the sink, on_ready or on_blocked at this moment. Called
 * from inside them it does not wait, and the promise holds from their return on. Afterwards
 * sse_registry_next_ready never returns this emitter.
 * Threads: do not hold a lock that the write callback, on_ready or on_blocked of this emitter
 * take; and two emitters must not detach each other from inside those callbacks at once.
 * Errors: -EINVAL (NULL). Detaching twice is fine.
 */
SSE_API int sse_emitter_detach(struct sse_emitter *emitter);

/**
 * Writes as much of the queue as the sink takes: to be called when the sink has room again.
 *
 * Returns 1 if bytes are left, 0 if none are. If another thread is inside the sink, that thread
 * tries once more before it leaves: room that was announced is never lost. For PULL: the same
 * answer, and nothing is written.
 * Errors: -EINVAL (NULL); after the end -ESHUTDOWN, or the errno that ended it.
 */
SSE_API int sse_emitter_flush(struct sse_emitter *emitter);

/**
 * Shows the next bytes, without copying: PULL only. Take them, all or a part, then say how many
 * with sse_emitter_advance.
 *
 * Effect: fills up to `count` iovecs and returns how many. 0 means that there is nothing now, and
 * has armed on_ready in the same atomic step, so that no wake can be missed; a host that suspends
 * a connection, and must not be woken before it has, holds a lock of its own over this call and
 * the suspension, and takes it in on_ready, not in on_completion.
 * Until they are advanced the bytes count as waiting: no heartbeat is due, and only stall_ms ends a
 * client that does not take them. Whether the emitter has failed meanwhile sse_emitter_flush tells.
 * Ownership: the memory is valid until the next peek, advance or read, even if the emitter ends,
 * while the caller holds its reference.
 * Threads: one at a time takes bytes from an emitter.
 * Errors: -EINVAL (NULL, count < 1, not PULL). The end of the stream: -ESHUTDOWN when it ended
 * gracefully and every byte was taken, otherwise the errno that ended it: break the connection.
 */
SSE_API int sse_emitter_peek(struct sse_emitter *emitter, struct iovec *iov, int count);

/**
 * Says that `size` of the bytes that the last peek showed have been taken. What it did not take is
 * to be peeked at again. After the end nothing is counted any more.
 *
 * Threads: as sse_emitter_peek.
 * Errors: -EINVAL (NULL, not PULL, or more than was shown: nothing is taken).
 */
SSE_API int sse_emitter_advance(struct sse_emitter *emitter, size_t size);

/**
 * Copies the next bytes to `buffer` and takes them: peek and advance in one step, PULL only.
 *
 * Returns the bytes copied; 0 as sse_emitter_peek, with on_ready armed. They count as written: a host
 * that keeps them for long before the client has them takes peek and advance.
 * Threads: as sse_emitter_peek.
 * Errors: -EINVAL (NULL, size 0 or over SSIZE_MAX, not PULL), and the end as sse_emitter_peek.
 */
SSE_API ssize_t sse_emitter_read(struct sse_emitter *emitter, void *buffer, size_t size);

/**
 * Blocks until there are bytes to take, or the end: for hosts with a thread for each connection,
 * PULL only. It runs the emitter's timers meanwhile, so such a host needs no other driver.
 *
 * Effect: returns 1 when a read will find bytes, 0 when `timeout_ms` milliseconds have passed;
 * -1 waits without limit. Measured by CLOCK_MONOTONIC. Bytes that wait already are told before any
 * timer is looked at. An emitter that a registry ticks as well needs a stall_ms above the time that
 * its host's own write may take.
 * Threads: one at a time waits. Not a cancellation point.
 * Errors: -EINVAL (NULL, timeout below -1, not PULL), -EINTR (sse_emitter_interrupt), -ENOMEM,
 * -EDEADLK (from inside on_ready of this emitter), and the end as sse_emitter_peek.
 */
SSE_API int sse_emitter_wait(struct sse_emitter *emitter, int timeout_ms);

/**
 * Makes the sse_emitter_wait that is running, or else the next one, return -EINTR.
 *
 * Errors: -EINVAL (NULL).
 */
SSE_API int sse_emitter_interrupt(struct sse_emitter *emitter);

/**
 * Milliseconds until sse_emitter_tick has something to do, rounded up; 0 now, -1 never. The form
 * that poll(2) takes. Any call may change it, in other threads too; only a registry's on_wake tells
 * of that.
 *
 * Errors: -EINVAL (NULL).
 */
SSE_API int sse_emitter_next_timeout(struct sse_emitter *emitter);

/**
 * Runs the timers that are due. Calling it too early, too late or too often does no harm. An
 * emitter in a registry is ticked by sse_registry_tick.
 *
 * Errors: -EINVAL (NULL).
 */
SSE_API int sse_emitter_tick(struct sse_emitter *emitter);

/** A look at an emitter. */
struct sse_emitter_info {
    size_t size; /**< sizeof(struct sse_emitter_info), set by the caller */
    enum sse_state state;
    enum sse_reason reason; /**< NONE until it has ended */
    int error;              /**< as in the completion record */
    size_t queued_bytes;    /**< not yet taken by the sink */
    size_t queued_messages; /**< not yet taken whole */
    uint64_t events;        /**< written whole */
    uint64_t bytes;         /**< written */
    uint64_t dropped;       /**< events lost: to overflow, or unsent at the end; not the one that was one too many for CLOSE */
    int64_t age_ms;         /**< milliseconds since sse_emitter_new */
};

/**
 * Fills `info` with a consistent snapshot.
 *
 * Ownership: the caller's struct, with `size` set.
 * Errors, nothing written: -EINVAL (NULL, unknown size).
 */
SSE_API int sse_emitter_info(struct sse_emitter *emitter, struct sse_emitter_info *info);

#ifdef __cplusplus
}
#endif

#endif
