/* SPDX-License-Identifier: MIT */
#include "base/host.h"
#include "fanout/replay.h"
#include "wire/id.h"
#include "wire/utf8.h"

#include <errno.h>

/* An id that is longer than this is not told back to the client in a gap event. */
#define ECHO_SIZE_MAX 1024

/** A subscription on its way. */
struct request {
    struct sse_registry *registry;
    struct sse_emitter *emitter;
    const struct sse_str *topics;
    size_t count;
    struct sse_str asked; /* the id that the client sent */
    uint64_t from;        /* the events after this sequence are wanted */
    uint64_t place;       /* the sequence that `asked` names, or if it names none the present */
    uint64_t lost;        /* from here on nothing has been lost */
    bool gap;
    bool sent;   /* by the host: what was missing before its hook was called */
    bool filled; /* and nothing was lost meanwhile */
    bool added;  /* the emitter has become a member */
    struct replay replay;
    size_t messages; /* that are replayed */
    uint64_t now;
};

static int check_topics(const struct sse_str *topics, size_t count)
{
    int error = topics || !count ? 0 : -EINVAL;

    for (size_t i = 0; !error && i < count; i++)
        error = sse_topic_name_check(topics[i]);
    return error;
}

static bool topic_is_full(const struct sse_registry *registry, struct sse_str name)
{
    const struct topic *topic = sse_topics_find(&registry->topics, name);

    return registry->admission == SSE_ADMISSION_REFUSE && topic &&
           topic->count >= registry->topic_emitters_max;
}

/* Why an emitter takes no more topics: 0, or how it ends. */
static int end_error(struct sse_emitter *emitter)
{
    int error;

    pthread_mutex_lock(&emitter->lock);
    error = sse_emitter_end_error(emitter);
    pthread_mutex_unlock(&emitter->lock);
    return error;
}

static bool is_elsewhere(const struct sse_registry *registry, struct sse_emitter *emitter)
{
    bool elsewhere;

    pthread_mutex_lock(&emitter->lock);
    elsewhere = emitter->owner && emitter->owner != &registry->owner;
    pthread_mutex_unlock(&emitter->lock);
    return elsewhere;
}

/* Whether joining would be refused as things stand: then the host need not fill a gap. Lock held. */
static bool is_refused(const struct request *request)
{
    struct sse_registry *registry = request->registry;
    bool member = sse_members_has(registry, request->emitter);
    bool full = registry->admission == SSE_ADMISSION_REFUSE && registry->count >= registry->emitters_max;

    if (!member && (full || registry->shutdown.begun || is_elsewhere(registry, request->emitter)))
        return true;
    if (member && !request->count)
        return true;
    for (size_t i = 0; i < request->count; i++) {
        const struct topic *topic = sse_topics_find(&registry->topics, request->topics[i]);

        if (topic_is_full(registry, request->topics[i]) && !sse_topics_is_subscribed(request->emitter, topic))
            return true;
    }
    return end_error(request->emitter) != 0;
}

/* All topics or none. Lock held. */
static int subscribe_all(struct request *request)
{
    struct sse_registry *registry = request->registry;
    struct sse_emitter *emitter = request->emitter;
    uint32_t first = sse_subscriptions_count(&emitter->membership);
    int error = 0;

    for (size_t i = 0; !error && i < request->count; i++) {
        uint32_t before = sse_subscriptions_count(&emitter->membership);
        bool full = topic_is_full(registry, request->topics[i]);

        error = sse_topics_subscribe(&registry->topics, emitter, request->topics[i]);
        if (!error && full && sse_subscriptions_count(&emitter->membership) != before)
            error = -EAGAIN;
    }
    if (error == -EAGAIN)
        registry->counts.refused++;
    if (error)
        sse_topics_unsubscribe_back_to(&registry->topics, emitter, first);
    return error;
}

/* All of the replay, or nothing. Lock of the registry held. */
static int queue_replay(struct request *request)
{
    struct sse_emitter *emitter = request->emitter;
    int error;

    pthread_mutex_lock(&emitter->lock);
    error = sse_queue_reserve(&emitter->queue, request->replay.count, emitter->host);
    for (size_t i = 0; !error && i < request->replay.count; i++)
        error = sse_emitter_enqueue_unlimited(emitter, request->replay.messages[i], request->now);
    if (!error && request->replay.count)
        emitter->queue.replayed = emitter->queue.count;
    pthread_mutex_unlock(&emitter->lock);
    return error;
}

/* Lock held. An emitter that became a member and got no further is still to be taken out. */
static int join(struct request *request)
{
    uint32_t first;
    int error = sse_members_add(request->registry, request->emitter);

    request->added = !error;
    if (error == -EALREADY && request->count)
        error = end_error(request->emitter);
    if (error)
        return error;
    first = sse_subscriptions_count(&request->emitter->membership);
    error = subscribe_all(request);
    if (!error)
        error = queue_replay(request);
    if (error)
        sse_topics_unsubscribe_back_to(&request->registry->topics, request->emitter, first);
    return error;
}

/* Where the replay begins, and whether something before that is missing. Lock held. */
static void find_place(struct request *request)
{
    uint64_t lost = sse_replay_last_lost(request->registry, request->topics, request->count);

    request->gap = !sse_replay_find(request->registry, request->topics, request->count, request->asked, lost,
                                    &request->from);
    request->place = request->from;
    request->lost = lost > request->from ? lost : request->from;
}

static int collect(struct request *request)
{
    return sse_replay_collect(&request->replay, request->registry, request->emitter, request->topics,
                              request->count, request->from)
               ? 0
               : -ENOMEM;
}

/* The first message to follow, as far as that is known. */
static struct sse_str oldest_id(const struct request *request)
{
    return request->replay.count ? sse_message_id(request->replay.messages[0])
                                 : (struct sse_str){.ptr = NULL};
}

/* Runs without the lock: the messages collected so far are held, so none of them can be missed. */
static bool call_gap_hook(const struct request *request, const struct sse_message *newest)
{
    struct sse_registry *registry = request->registry;
    struct sse_gap gap = {
        .size = sizeof(gap),
        .asked = request->asked,
        .oldest = oldest_id(request),
        .topics = request->topics,
        .count = request->count,
    };

    if (newest)
        gap.newest = sse_message_id(newest);
    return registry->on_gap(registry, request->emitter, &gap, registry->user);
}

/* Lets the host fill the gap up to where nothing is lost, then collects what was published
 * meanwhile. If it does not, the replay begins anew. What it has sent is not sent again, even if the rest
 * is lost meanwhile. Lock held; let go meanwhile. */
static int fill_gap(struct request *request)
{
    struct sse_registry *registry = request->registry;
    struct sse_message *newest;
    uint64_t end = registry->archive.sequence;
    uint64_t published = registry->counts.published;
    int error;

    request->from = request->lost;
    error = collect(request);
    if (error)
        return error;
    newest = sse_message_ref(registry->newest);
    pthread_mutex_unlock(&registry->lock);
    request->sent = call_gap_hook(request, newest);
    sse_message_unref(newest);
    pthread_mutex_lock(&registry->lock);
    /* Only no history, or one that is shorter than one call of the hook, loses what follows it. */
    request->filled = request->sent &&
                      sse_replay_last_lost(registry, request->topics, request->count) <= end &&
                      (sse_archive_is_on(&registry->archive) || registry->counts.published == published);
    if (!request->sent)
        sse_replay_free(&request->replay, registry->host);
    request->from = request->sent ? end : request->place;
    return 0;
}

/* A client may send any bytes; a line end among them would forge a line of the gap event. */
static bool may_echo(struct sse_str asked)
{
    const unsigned char *bytes = (const unsigned char *)asked.ptr;

    return asked.len <= ECHO_SIZE_MAX && sse_id_is_valid(bytes, asked.len) &&
           sse_utf8_is_valid(bytes, asked.len);
}

/* A client that the host has sent something goes on from that. */
static int make_gap_message(const struct request *request, struct sse_message **message)
{
    const struct archive *archive = &request->registry->archive;
    struct sse_str asked = request->asked, oldest = oldest_id(request);
    bool placed = sse_archive_is_on(archive) && !request->sent;
    char id[SSE_ASSIGNED_ID_SIZE];
    char *data;
    int error;

    if (!may_echo(asked))
        asked.len = 0;
    data = sse_host_allocate(request->registry->host, asked.len + 1 + oldest.len);
    if (!data)
        return -ENOMEM;
    memcpy(data, asked.ptr, asked.len);
    data[asked.len] = '\n';
    if (oldest.len)
        memcpy(data + asked.len + 1, oldest.ptr, oldest.len);
    sse_archive_format_id(archive, request->place, id);
    error = sse_message_new(message,
                            &(struct sse_event){
                                .type = {request->registry->gap_type, request->registry->gap_type_size},
                                .data = {data, asked.len + 1 + oldest.len},
                                .id = {placed ? id : NULL, placed ? sse_archive_id_size(archive) : 0},
                            },
                            1, request->registry->host);
    sse_host_release(request->registry->host, data);
    return error;
}

/* Tells the client, in front of the replay. */
static int tell_gap(struct request *request)
{
    struct sse_message *message;
    struct replay whole = {.messages = NULL};
    int error;

    if (!request->registry->gap_type)
        return 0;
    error = make_gap_message(request, &message);
    if (error)
        return error;
    if (!sse_replay_append(&whole, message, request->registry->host))
        error = -ENOMEM;
    for (size_t i = 0; !error && i < request->replay.count; i++) {
        if (!sse_replay_append(&whole, request->replay.messages[i], request->registry->host))
            error = -ENOMEM;
    }
    sse_replay_free(&request->replay, request->registry->host);
    request->replay = whole;
    sse_message_unref(message);
    return error;
}

/* What the client missed. Lock held; let go while on_gap runs. */
static int prepare_replay(struct request *request)
{
    int error = 0;

    find_place(request);
    if (request->gap && request->registry->on_gap && !is_refused(request))
        error = fill_gap(request);
    if (!error)
        error = collect(request);
    request->messages = request->replay.count;
    if (!error && request->gap && !request->filled)
        error = tell_gap(request);
    return error;
}

static enum sse_replay_outcome outcome_of(const struct request *request)
{
    if (!request->asked.len)
        return SSE_REPLAY_NONE;
    if (!request->gap)
        return SSE_REPLAY_COMPLETE;
    return request->filled ? SSE_REPLAY_FILLED : SSE_REPLAY_GAP;
}

static void count_replay(struct request *request)
{
    struct registry_counts *counts = &request->registry->counts;
    enum sse_replay_outcome outcome = outcome_of(request);

    counts->replays += outcome == SSE_REPLAY_COMPLETE || outcome == SSE_REPLAY_FILLED;
    counts->gaps += outcome == SSE_REPLAY_GAP;
    counts->replayed += request->messages;
}

/* Those that have to go because this one came: at most one for each topic, and one in all. */
static void find_leavers(struct request *request, struct roster *leavers)
{
    struct sse_registry *registry = request->registry;
    struct sse_emitter *leaver;

    if (!leavers)
        return;
    for (size_t i = 0; i < request->count; i++) {
        leaver = sse_members_over_cap(registry, sse_topics_find(&registry->topics, request->topics[i]));
        if (leaver)
            sse_roster_add(leavers, leaver);
    }
    leaver = sse_members_over_cap(registry, NULL);
    if (leaver)
        sse_roster_add(leavers, leaver);
}

static void trace_subscription(const struct request *request)
{
    if (request->added)
        sse_registry_trace(request->registry, request->emitter, SSE_TRACE_ADDED);
    if (request->count)
        sse_registry_trace(request->registry, request->emitter, SSE_TRACE_SUBSCRIBED);
    if (request->gap)
        sse_registry_trace(request->registry, request->emitter, SSE_TRACE_GAP);
    if (request->messages)
        sse_registry_trace(request->registry, request->emitter, SSE_TRACE_REPLAYED);
}

/* What follows without the lock: the replay goes out, the leavers are completed. */
static void finish(struct request *request, struct roster *leavers)
{
    trace_subscription(request);
    (void)sse_emitter_service(request->emitter, request->now);
    for (size_t i = 0; leavers && i < leavers->count; i++)
        (void)sse_emitter_end_at(leavers->emitters[i], SSE_REASON_COMPLETED, 0, request->now);
    /* One that is pulled from could take nothing yet, and would come back for the same again and again. */
    if (request->emitter->sink_kind != SINK_PULL)
        sse_budget_enforce(request->registry, request->now);
}

static int run(struct request *request)
{
    struct sse_registry *registry = request->registry;
    struct roster *leavers = NULL;
    bool undone = false;
    int error = 0;

    pthread_mutex_lock(&registry->lock);
    sse_archive_expire(&registry->archive, request->now);
    if (registry->admission == SSE_ADMISSION_NEWEST &&
        !(leavers = sse_roster_take(registry, request->count + 1)))
        error = -ENOMEM;
    if (!error && request->asked.len)
        error = prepare_replay(request);
    if (!error)
        error = join(request);
    if (error && request->added) {
        sse_members_take(registry, request->emitter);
        /* Nobody else can have joined since. */
        registry->counts.added--;
        undone = true;
    }
    if (!error) {
        find_leavers(request, leavers);
        count_replay(request);
        if (request->added)
            sse_registry_introduce(registry, request->emitter);
    }
    pthread_mutex_unlock(&registry->lock);
    sse_members_give_back(registry, request->emitter, undone, false);
    if (!error)
        finish(request, leavers);
    if (leavers)
        sse_roster_give_back(registry, leavers);
    return error;
}

int sse_registry_subscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                           const struct sse_str *topics, size_t count, struct sse_str last_event_id,
                           struct sse_replay *replay)
{
    struct request request = {
        .registry = registry,
        .emitter = emitter,
        .topics = topics,
        .count = count,
        .asked = last_event_id,
    };
    int error = sse_registry_check_both(registry, emitter);

    if (error)
        return error;
    if ((!last_event_id.ptr && last_event_id.len) || (replay && replay->size != sizeof(*replay)))
        return -EINVAL;
    error = check_topics(topics, count);
    if (error)
        return error;
    request.now = sse_host_now(registry->host);
    sse_owner_hold(&registry->owner);
    /* A hook may give back the reference that the caller came with. */
    sse_emitter_ref(emitter);
    error = run(&request);
    sse_replay_free(&request.replay, registry->host);
    sse_emitter_give_back(emitter);
    sse_owner_release(&registry->owner);
    if (!error && replay) {
        replay->outcome = outcome_of(&request);
        replay->messages = request.messages;
    }
    return error;
}

int sse_registry_add(struct sse_registry *registry, struct sse_emitter *emitter)
{
    return sse_registry_subscribe(registry, emitter, NULL, 0, (struct sse_str){.ptr = NULL}, NULL);
}
