/* SPDX-License-Identifier: MIT */
#include "racing_pairs.h"

#include <errno.h>

const struct sse_text pairs_topic = {"pairs_topic", 5};

static struct sse_emitter *emitter_of(const struct part *part)
{
    return part->subject->client->emitter;
}

static struct numbered_key next_key(struct part *part, unsigned target)
{
    return (struct numbered_key){.publisher = part->number, .sequence = part->attempts++, .target = target};
}

void pairs_send(struct part *part)
{
    struct numbered_key key = next_key(part, NUMBERED_TO_ONE);
    struct numbered_event text;
    struct sse_event event = numbered_event(&key, &text);

    part->accepted += !sse_emitter_send(emitter_of(part), &event);
}

static void send_message(struct part *part)
{
    struct numbered_key key = next_key(part, NUMBERED_TO_ONE);
    struct numbered_event text;
    struct sse_event event = numbered_event(&key, &text);
    struct sse_message *message;

    require(sse_message_new(&message, &event, 1, part->subject->client->plan.platform) == 0);
    part->accepted += !sse_emitter_send_message(emitter_of(part), message);
    sse_message_unref(message);
}

static void publish_to(struct part *part, struct sse_text name, unsigned target)
{
    struct numbered_key key = next_key(part, target);
    struct numbered_event text;
    struct sse_event event = numbered_event(&key, &text);
    struct sse_delivery delivery;

    require(sse_registry_publish(part->subject->registry, name, &event, &delivery) == 0);
    require(delivery.receivers + delivery.dropped + delivery.ended <= 1);
    part->accepted += delivery.receivers == 1;
}

static void publish(struct part *part)
{
    publish_to(part, pairs_topic, 0);
}

static void publish_to_everyone(struct part *part)
{
    publish_to(part, sse_str(NULL), NUMBERED_TO_ALL);
}

static void ping(struct part *part)
{
    require(sse_emitter_ping(emitter_of(part)) <= 0);
}

void pairs_pump(struct part *part)
{
    int result = racing_client_pump(part->subject->client, &part->random);

    require(result <= 1 && result != -EINVAL);
}

static void start(struct part *part)
{
    int error = sse_emitter_start(emitter_of(part), schedule_one_in(&part->random, 2));

    require(error <= 0 && error != -EINVAL);
}

static void complete(struct part *part)
{
    int error = sse_emitter_complete(emitter_of(part));

    require(error == 0 || error == -EALREADY);
}

static void abort_it(struct part *part)
{
    int error = sse_emitter_abort(emitter_of(part), schedule_one_in(&part->random, 2) ? -EPIPE : -EIO);

    require(error == 0 || error == -EALREADY);
}

static void close_it(struct part *part)
{
    part->closed = true;
    racing_client_close(part->subject->client, true);
}

static void turn(struct part *part)
{
    struct loop_thread *loop = &part->subject->loop;

    racing_call_end();
    loop_thread_turn(loop);
    racing_call_begin();
}

static void free_loop(struct part *part)
{
    struct loop_thread *loop = &part->subject->loop;

    racing_call_end();
    loop_thread_free_loop(loop);
    racing_call_begin();
}

static void finish_loop(struct part *part)
{
    require(sse_loop_finish(part->subject->loop.loop) == 0);
    require(sse_loop_count(part->subject->loop.loop) <= 1);
}

static void require_end_or(int error, int allowed)
{
    require(error == 0 || error == allowed || error == -ENOENT || error == -ECONNREFUSED ||
            error == SSE_ENDED || error == -ECANCELED || error == -EPIPE || error == -ECONNRESET ||
            error == -EIO || error == -ETIMEDOUT);
}

static void subscribe(struct part *part)
{
    const struct sse_text topics[] = {pairs_topic, sse_str("another")};
    struct sse_replay replay;

    require_end_or(
        sse_registry_subscribe(part->subject->registry, emitter_of(part), topics, 2, sse_str("1"), &replay),
        0);
}

static void unsubscribe(struct part *part)
{
    int error = sse_registry_unsubscribe(part->subject->registry, emitter_of(part), &pairs_topic, 1);

    require(error == 0 || error == -ENOENT);
}

static void complete_topic(struct part *part)
{
    require(sse_registry_complete(part->subject->registry, pairs_topic) == 0);
}

static void shut_down(struct part *part)
{
    struct numbered_key key = next_key(part, NUMBERED_TO_ALL);
    struct numbered_event text;
    struct sse_event final_event = numbered_event(&key, &text);
    const struct sse_shutdown_options options = {
        .size = sizeof(options),
        .final_event = schedule_one_in(&part->random, 2) ? &final_event : NULL,
        .retry_min_ms = NUMBERED_LAST_RETRY_MS,
        .retry_max_ms = NUMBERED_LAST_RETRY_MS,
        .drain_ms = schedule_one_in(&part->random, 3) ? 0 : 1000,
    };
    int error = sse_registry_shutdown(part->subject->registry, &options);

    require(error == 0 || error == -EALREADY);
}

static void look_at_stats(struct part *part)
{
    struct sse_registry_stats stats;

    require(sse_registry_get_stats(part->subject->registry, &stats, sizeof(stats)) == 0);
    require(stats.emitters <= stats.remaining && stats.remaining <= 1);
    require(stats.shutdown_completed + stats.shutdown_cut <= 1);
    require(sse_registry_wait(part->subject->registry, 0) <= 0);
}

/* Another emitter joins and frees its place again. The cap is one. */
static void join_and_evict(struct part *part)
{
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .platform = part->subject->client->plan.platform,
        .registry = part->subject->registry,
        .topics = &pairs_topic,
        .topic_count = 1,
        .output = SSE_OUTPUT_PULL,
    };
    struct sse_emitter *newcomer;
    int error = sse_emitter_new(&newcomer, &options, NULL);

    require(error == 0 || error == -ECONNREFUSED);
    if (!error)
        sse_emitter_close(newcomer);
}

void pairs_unref(struct part *part)
{
    part->gave_emitter_back = true;
    sse_emitter_unref(emitter_of(part));
}

void pairs_unref_registry(struct part *part)
{
    part->gave_registry_back = true;
    sse_registry_unref(part->subject->registry);
}

static void info(struct part *part)
{
    struct sse_emitter_info look;

    require(sse_emitter_get_info(emitter_of(part), &look, sizeof(look)) == 0);
    require((look.state == SSE_STATE_CLOSED) == (look.reason != SSE_REASON_NONE));
    require((look.queued_bytes == 0) == (look.queued_messages == 0));
}

static int visit_member(struct sse_emitter *emitter, void *user)
{
    struct part *part = user;

    require(emitter == emitter_of(part));
    return sse_emitter_user(emitter) != part->subject->client;
}

static void look_around(struct part *part)
{
    require(sse_registry_each(part->subject->registry, pairs_topic, visit_member, part) == 0);
    require(sse_registry_count(part->subject->registry, sse_str(NULL)) <= 1);
}

static void wait_for_bytes(struct part *part)
{
    int result = racing_client_wait(part->subject->client, 0, &part->random);

    require(result <= 1 && result != -EINVAL && result != -ENOMEM && result != -EDEADLK);
}

static void interrupt(struct part *part)
{
    require(sse_emitter_interrupt(emitter_of(part)) == 0);
}

static void leave(struct part *part)
{
    racing_client_leave(part->subject->client);
}

#define BIT(kind) (1u << (kind))
#define LOOPED (BIT(CALLBACK) | BIT(KEPT_FD) | BIT(OWNED_FD) | BIT(POLLED_FD) | BIT(PULL))
#define ANY (LOOPED | BIT(PULL_ALONE))
#define FD (BIT(KEPT_FD) | BIT(OWNED_FD) | BIT(POLLED_FD))
#define EMITTER NEEDS_EMITTER
#define REGISTRY NEEDS_REGISTRY

const struct operation pairs_operations[PAIRS_OPERATIONS] = {
    {"send", pairs_send, ANY, EMITTER},
    {"send_message", send_message, ANY, EMITTER},
    {"ping", ping, ANY, EMITTER},
    {"publish", publish, ANY, REGISTRY | COUNTS},
    {"publish to everyone", publish_to_everyone, ANY, REGISTRY | COUNTS},
    {"flush or consume", pairs_pump, LOOPED, EMITTER},
    {"start", start, ANY, EMITTER},
    {"complete", complete, ANY, EMITTER},
    {"abort", abort_it, ANY, EMITTER},
    {"close", close_it, LOOPED, EMITTER | IS_CLOSER},
    {"close in its thread", close_it, BIT(PULL_ALONE), EMITTER | IS_CLOSER | IS_TURNER},
    {"turn", turn, LOOPED, IS_TURNER},
    {"loop_free", free_loop, LOOPED, IS_TURNER},
    {"loop_finish", finish_loop, LOOPED, IS_TURNER},
    {"subscribe", subscribe, ANY, REGISTRY | EMITTER},
    {"unsubscribe", unsubscribe, ANY, REGISTRY | EMITTER},
    {"registry_complete", complete_topic, ANY, REGISTRY},
    {"shutdown", shut_down, ANY, REGISTRY},
    {"stats", look_at_stats, ANY, REGISTRY | COUNTS},
    {"new", join_and_evict, ANY, REGISTRY | IS_NEWCOMER},
    {"unref", pairs_unref, ANY, EMITTER},
    {"registry_unref", pairs_unref_registry, ANY, REGISTRY},
    {"info", info, ANY, EMITTER},
    {"each", look_around, ANY, REGISTRY | COUNTS},
    {"wait", wait_for_bytes, BIT(PULL_ALONE), EMITTER | IS_TURNER},
    {"interrupt", interrupt, BIT(PULL_ALONE), EMITTER},
    {"peer leaves", leave, FD, EMITTER},
};

bool pairs_may_meet(const struct operation *one, const struct operation *other, enum kind kind)
{
    unsigned both = one->needs & other->needs, either = one->needs | other->needs;

    if (both & (IS_TURNER | IS_CLOSER) || (either & IS_NEWCOMER && either & COUNTS))
        return false;
    return one->kinds & other->kinds & BIT(kind);
}
