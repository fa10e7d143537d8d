/* SPDX-License-Identifier: MIT */
#ifndef WORKERS_RING_H
#define WORKERS_RING_H

/**
 * A ring of events in memory that the processes of one server share. A registry covers one process: what one
 * worker publishes, the clients of the others do not get. With a ring every worker publishes here, and
 * ring_reader.h brings the events to the registry of each worker. The ring gives every event its number, so
 * that all clients see one order, and a client may come back to any worker.
 *
 * Use, with the six files ring*.h and ring*.c, which need nothing but the library:
 *
 *     ring_create(&ring, NULL);                          the parent, once, before it forks
 *     sse_registry_new(&registry, NULL);                 each worker, after the fork
 *     ring_reader_open(&reader, &(struct ring_reader_options){.ring = ring, .registry = registry});
 *     ring_reader_drain(reader);                         when ring_reader_fd(reader) is readable
 *     ring_reader_stream(reader, &emitter, &options);    in place of sse_emitter_new
 *     ring_publish(ring, topic, &event, NULL);           in place of sse_registry_publish
 *
 * A parent that reads its configuration again keeps the ring: workers of before still use it, and its ids
 * stay valid.
 *
 * Why this is not a part of the library:
 * - It needs what some systems lack for which the library is built: a lock that survives the death of its
 *   owner (macOS, OpenBSD), atomic numbers of 64 bits without a lock (PowerPC of 32 bits), shared memory
 *   without a file (MAP_ANONYMOUS, which POSIX has since 2024).
 * - It keeps two descriptors for each worker, and the server must make it before it forks. The library makes
 *   nothing before a fork that works after it.
 * - It needs nothing from the inside of the library: a paused emitter and sse_registry_publish are enough.
 *   There it would be the same lines, in an interface that could not change any more.
 * - How much is retained, and what a client is told of a gap, are decisions of a server.
 *
 * What happens when a process dies, at whichever instruction:
 * - An event is written first and then published by one store. A process that dies before this store has
 *   published nothing: the next event takes its place. One that dies after it has published the event.
 * - The lock of a dead process is taken over by the next publisher. There is nothing to repair.
 * - A process that dies between the store and its answer leaves an event of which nobody was woken. The
 *   readers find it with the next event, and at the latest when the next worker attaches: so let the
 *   parent start a new worker for each that died. The publisher of this event got no answer.
 *
 * Who waits for whom:
 * - Reading takes no lock. A process that is stopped or slow delays no reader, and no reader delays anybody.
 * - Publishers take turns. One holds the lock for the copy of one event, and while it discards as many old
 *   events as the new one needs room for: at most event_bytes / 8 + 3 words, and event_bytes / 24 + 2 old
 *   events. It makes no system call meanwhile.
 * - A publisher waits at most RING_LOCK_MS for the lock, by the wall clock, because POSIX 2008 has no other
 *   for it. It can come to that only if the process that has the lock is stopped.
 *
 * A reader that is slower than the publishers is overtaken: ring_read says -ENODATA, and the reader
 * tells its clients of a gap.
 *
 * The processes trust each other: one that writes to this memory otherwise can harm the others.
 */

#include <sse/event.h>

/** Room for an id, with its NUL: "<16 hexadecimal digits>-<20 digits>". */
#define RING_ID_SIZE 38

/** The longest that ring_publish waits for other publishers, in milliseconds. */
#define RING_LOCK_MS 1000

struct ring;

/** Every member may be zero: then the default counts. */
struct ring_options {
    size_t bytes;  /**< for events; rounded up to a power of two. Default: 16 MiB */
    size_t events; /**< the most events that are retained, at least 2. Default: 65,536 */
    /** The largest event, on the wire without its id, with its topic and key; at most a quarter of `bytes`.
     *  Keep it below the queue_bytes of your emitters. Default: 65,536. */
    size_t event_bytes;
    /** The most readers at a time. At a reload there are those of the old and of the new workers. Each
     *  costs two descriptors in every process. Default: 64. */
    size_t readers;
};

/**
 * Makes a ring, in the parent, before it forks.
 *
 * Ownership: `*ring` is yours: free it with ring_free, once in every process that has it after the fork, or
 * let the process end. The descriptors close on exec.
 * Errors, with *ring unchanged: -EINVAL: an option is not valid. -ENOTSUP: this system has no atomic numbers
 * of 64 bits without a lock. -ENOMEM. -EMFILE, -ENFILE.
 */
int ring_create(struct ring **ring, const struct ring_options *options);

/** Frees what this process has of the ring. NULL is ignored. */
void ring_free(struct ring *ring);

/**
 * Publishes an event to the subscribers of a topic in all processes; with an absent topic to everyone.
 *
 * Effect: on success the event has its place in the order, and every reader that sleeps was woken. `id`, if
 * not NULL, is the id that the event has got. Answer your publisher with success only after this call.
 * On an error nothing was published.
 * Threads: any thread of any process that has the ring.
 * Errors:
 * - -EINVAL: the event has an id, a comment or a retry. Every error of sse_event_encode.
 * - -EBADMSG: the topic is present and empty, or longer than SSE_TOPIC_SIZE_MAX.
 * - -EMSGSIZE: the event is larger than event_bytes.
 * - -ETIMEDOUT: another process has held the lock for RING_LOCK_MS: it is stopped.
 * - -ENOMEM.
 */
int ring_publish(struct ring *ring, struct sse_text topic, const struct sse_event *event,
                 char id[RING_ID_SIZE]);

/* -- for ring_reader.c, and for readers of your own --------------------------------------------- */

/** An event that was read. The texts point into `words`. */
struct ring_entry {
    struct sse_text topic;
    struct sse_event event; /**< type, data and key */
    uint64_t words[];
};

/** Room for one entry: free it with free. NULL: no memory. */
struct ring_entry *ring_entry_new(const struct ring *ring);

/** The number of the newest event; 0 before the first. */
uint64_t ring_newest(const struct ring *ring);
/** The number of the oldest event that is retained; one more than the newest if there is none. */
uint64_t ring_oldest(const struct ring *ring);

/**
 * Copies an event.
 *
 * Returns 1. 0: it is not published yet. -ENODATA: it is not retained any more.
 * Work: the size of the event. Threads: any, without a lock.
 */
int ring_read(const struct ring *ring, uint64_t number, struct ring_entry *entry);

/** Writes the id of an event and returns it. */
const char *ring_format_id(const struct ring *ring, uint64_t number, char id[RING_ID_SIZE]);

/** The number that an id stands for; false if this ring has never given it. */
bool ring_parse_id(const struct ring *ring, struct sse_text id, uint64_t *number);

/**
 * Takes a place for a reader. All readers that sleep are woken, for a process that has died may have left
 * an event to be found. A place is free again when no process has the number of its owner any more.
 *
 * Returns the place, 0 or more. -EAGAIN: all places are taken.
 */
int ring_attach(struct ring *ring);
void ring_detach(struct ring *ring, int place);

/** Readable when the reader of this place is to read. Do not read it yourself. */
int ring_fd(const struct ring *ring, int place);

/** The reader reads now. Whatever made its descriptor readable is cleared. */
void ring_begin(struct ring *ring, int place);

/** The reader has read up to this number and sleeps. False: there is more already; the descriptor is
 *  readable. */
bool ring_sleep(struct ring *ring, int place, uint64_t read);

#endif
