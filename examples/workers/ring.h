/* SPDX-License-Identifier: MIT */
#ifndef WORKERS_RING_H
#define WORKERS_RING_H

/**
 * A ring of events in memory that the processes of one server share. A registry belongs to one process, so an event
 * that one worker publishes does not reach the clients of the others. With a ring, every worker publishes to the
 * ring, and ring_reader.h publishes its events to the registry of each worker. The ring numbers the events, so all
 * clients see one order, and a client may reconnect to any worker.
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
 * A parent that reloads its configuration must keep the ring, because old workers still use it and its ids must
 * stay valid.
 *
 * Why the ring is not a part of the library:
 * - Some systems on which the library runs lack what the ring needs: a lock that survives the death of its owner
 *   (macOS, OpenBSD), lock-free atomic numbers of 64 bits (32-bit PowerPC), shared memory without a file
 *   (MAP_ANONYMOUS, in POSIX since 2024).
 * - It keeps two descriptors for each worker, and the server must make it before it forks. No object of the library
 *   works in a child after a fork.
 * - It needs no internals of the library: a paused emitter and sse_registry_publish are enough. Inside the library
 *   it would be the same code, with an interface that could not change any more.
 * - Each server decides itself how much is retained, and how a client is notified of a gap.
 *
 * What happens when a process dies, at whichever instruction:
 * - An event is written first and then published by one store. A process that dies before this store has published
 *   nothing, and the next event takes its place. A process that dies after it has published the event.
 * - The next publisher takes over the lock of a dead process. There is nothing to repair.
 * - A process that dies between the store and its answer leaves an event for which no reader was woken. The readers
 *   find it with the next event, and at the latest when the next worker attaches. So the parent should start a new
 *   worker for each one that died. The publisher of this event got no answer.
 *
 * Who waits for whom:
 * - Reading takes no lock. A stopped or slow process delays no reader, and no reader delays another process.
 * - Publishers take turns. A publisher holds the lock while it copies one event and discards old events to make
 *   room: at most event_bytes / 8 + 3 words, and event_bytes / 24 + 2 old events. It makes no system call
 *   meanwhile.
 * - A publisher waits at most RING_LOCK_MS for the lock, by the wall clock, because POSIX 2008 offers no other
 *   clock here. The wait can be this long only if the process that has the lock is stopped.
 *
 * If a reader is slower than the publishers, they overwrite events that it has not read. Then ring_read returns
 * -ENODATA, and the reader notifies its clients of a gap.
 *
 * The processes must trust each other, because a process that writes to this memory in any other way can harm them.
 */

#include <sse/event.h>

/** Room for an id with its NUL: "<16 hexadecimal digits>-<20 digits>". */
#define RING_ID_SIZE 38

/** The longest that ring_publish waits for other publishers, in milliseconds. */
#define RING_LOCK_MS 1000

struct ring;

/** Every member may be zero, which selects its default. */
struct ring_options {
    size_t bytes;  /**< for events; rounded up to a power of two. Default: 16 MiB */
    size_t events; /**< the most events that are retained, at least 2. Default: 65,536 */
    /** The largest event, on the wire without its id, with its topic and key; at most a quarter of `bytes`.
     *  Keep it below the queue_bytes of your emitters. Default: 65,536. */
    size_t event_bytes;
    /** The most readers at one time. During a reload, old and new workers both have readers. Each reader costs two
     *  descriptors in every process. Default: 64. */
    size_t readers;
};

/**
 * Makes a ring, in the parent, before it forks.
 *
 * Ownership: `*ring` is yours. Free it with ring_free once in every process that has it after the fork, or let the
 * process end. The descriptors close on exec.
 * Errors, with *ring unchanged: -EINVAL: an option is not valid. -ENOTSUP: this system has no atomic numbers of 64
 * bits without a lock. -ENOMEM. -EMFILE, -ENFILE.
 */
int ring_create(struct ring **ring, const struct ring_options *options);

/** Frees this process's part of the ring. NULL is ignored. */
void ring_free(struct ring *ring);

/**
 * Publishes an event to the subscribers of a topic in all processes; with an absent topic to everyone.
 *
 * Effect: on success the event has its place in the order, and every sleeping reader was woken. `id`, if not NULL,
 * receives the id of the event. Report success to your publisher only after this call. On an error nothing was
 * published.
 * Threads: any thread of any process that has the ring.
 * Errors:
 * - -EINVAL: the event has an id, a comment or a retry. Every error of sse_event_encode.
 * - -EBADMSG: the topic is present and empty, or longer than SSE_TOPIC_SIZE_MAX.
 * - -EMSGSIZE: the event is larger than event_bytes.
 * - -ETIMEDOUT: another process has held the lock for RING_LOCK_MS, because it is stopped.
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

/** Allocates room for one entry. Free it with free. Returns NULL without memory. */
struct ring_entry *ring_entry_new(const struct ring *ring);

/** Returns the number of the newest event; 0 before the first one. */
uint64_t ring_newest(const struct ring *ring);
/** Returns the number of the oldest retained event, or the newest number plus one if there is none. */
uint64_t ring_oldest(const struct ring *ring);

/**
 * Copies an event.
 *
 * Returns 1 on success, 0 if the event is not published yet, -ENODATA if it is not retained any more.
 * Work: the size of the event.
 * Threads: any, without a lock.
 */
int ring_read(const struct ring *ring, uint64_t number, struct ring_entry *entry);

/** Writes the id of an event and returns it. */
const char *ring_format_id(const struct ring *ring, uint64_t number, char id[RING_ID_SIZE]);

/** Finds the number of an id. Returns false if this ring has never assigned the id. */
bool ring_parse_id(const struct ring *ring, struct sse_text id, uint64_t *number);

/**
 * Takes a place for a reader. All sleeping readers are woken, because a process that has died may have left an
 * event that nobody has read. A place becomes free when no process with its owner's number exists any more.
 *
 * Returns the place, 0 or more. -EAGAIN: all places are taken.
 */
int ring_attach(struct ring *ring);
void ring_detach(struct ring *ring, int place);

/** Becomes readable when the reader of this place must read. Do not read the descriptor yourself. */
int ring_fd(const struct ring *ring, int place);

/** Call it before you read. It clears the descriptor. */
void ring_begin(struct ring *ring, int place);

/** Call it when the reader has read up to this number, before it sleeps. Returns false if there are more events
 *  already; then the descriptor is readable. */
bool ring_sleep(struct ring *ring, int place, uint64_t read);

#endif
