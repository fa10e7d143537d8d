/* SPDX-License-Identifier: MIT */
#ifndef SIMULATION_H
#define SIMULATION_H

/**
 * A registry and its loops in a world that one seed makes: clients that come, stall, break off and come
 * back with the last id that they really saw, a clock that jumps, a server that publishes, completes,
 * closes and shuts down, also from inside callbacks, loops that have their turns late, and memory that
 * runs out.
 *
 * A model runs beside it. It knows only what was asked of the library: what was published in which
 * order, what the history may retain of it (history.c), and what is therefore queued for each emitter
 * (lane.c). Every byte that an output is offered is compared with the model's queue, and after every
 * call the sizes and counters are (audit.c). What a client made of its bytes is read by an independent
 * parser (clients.c): each event of its topics once and in order, or the client was told of a gap.
 *
 * It uses the public headers alone. What the library may decide by chance is only held to its bounds.
 */

#include "model.h"

/* simulation.c */

/** Ends the run with a message and the seed unless it holds. */
void expect(struct world *world, bool holds, const char *format, ...) __attribute__((format(printf, 3, 4)));
void expect_equal(struct world *world, uint64_t expected, uint64_t actual, const char *what);
void narrate(const struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t chance_bits(struct world *world);
/** From 0 to `bound` - 1. */
size_t chance_below(struct world *world, size_t bound);
bool chance_percent(struct world *world, unsigned percent);
uint64_t world_now(const struct world *world);
/** Before and after a call of the library in which memory may run out. */
void fail_begin(struct world *world);
/** From inside a callback: until the call that it is in returns, there is enough. */
void fail_suspend(struct world *world);
/** Whether it did. */
bool fail_end(struct world *world);
/** Whether it did in the call under way, or in the last one. */
bool memory_is_short(const struct world *world);
bool same_text(struct sse_text left, struct sse_text right);

/* records.c */

struct sse_text arena_format(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool records_have_room(const struct world *world);
/** A record whose events are given. */
struct record *record_new(struct world *world, int topic, const struct sse_event *events, unsigned count);
struct record *record_draw(struct world *world, int topic);
struct sse_text assigned_id(struct world *world, uint64_t sequence);
bool is_dispatched(const struct sse_event *event);

/* history.c */

void history_learn_costs(void);
/** Keeps the record with this index in a history. */
void history_add(const struct world *world, struct history *history, size_t index);
void history_expire(struct world *world);
bool history_holds(const struct world *world, size_t index);
/** The place that an id names for a client of these topics. */
enum known history_find(const struct world *world, struct sse_text id, unsigned topics, uint64_t *place);
size_t history_oldest(const struct world *world, int topic);

/* lane.c */

size_t wire_size(const struct connection *connection, const struct item *item);
size_t item_frame_offset(const struct connection *connection, const struct item *item);
unsigned item_events(const struct connection *connection, const struct item *item);
size_t lane_bytes(const struct lane *lane);
uint64_t lane_events(const struct connection *connection, const struct lane *lane);
void lane_push(struct lane *lane, struct item item);
/** What it holds now does not count against its limits. */
void lane_exempt_all(struct lane *lane);
void lane_remove(struct lane *lane, size_t index);
void lane_clear(struct lane *lane);
void lane_copy(struct lane *to, const struct lane *from);
/** Whether it holds more than so many times its limits. */
bool lane_is_over(const struct connection *connection, const struct lane *lane, size_t factor);
/** Whether its queue could never hold it. */
bool record_is_too_large(const struct connection *connection, size_t record);
/** What the overflow policy makes of a message; its limits are multiplied by the factor. */
enum verdict lane_offer(const struct connection *connection, struct lane *lane, struct item item,
                        size_t factor, uint64_t *dropped);
/** What the overflow policy makes of a queue that was tried. */
enum verdict lane_judge(const struct connection *connection, struct lane *lane, uint64_t *dropped);
/** Compares what an output is offered with what is queued. Returns the bytes. */
size_t queue_shows(struct connection *connection, const struct iovec *iov, int count);

/* connections.c */

uint64_t milliseconds(int64_t option, int64_t by_default);
struct connection *connection_make(struct world *world, bool registered);
void connection_free(struct connection *connection);
bool connection_info(const struct connection *connection, struct sse_emitter_info *info);
/** Whether the server has a reference. */
bool connection_is_usable(const struct connection *connection);
bool connection_is_pull(const struct connection *connection);
/** What its calls return from its end on. */
int end_error(const struct connection *connection);
/** What has the messages that come now. */
struct lane *connection_tail(struct connection *connection);
/** Bytes, without and with those behind a pause. */
size_t connection_queued(const struct connection *connection);
size_t connection_backlog(const struct connection *connection);
void connection_queue(struct connection *connection, struct lane *lane, struct item item);
/** If something is queued, a comment is owed when that was consumed. */
void connection_queue_ping(struct connection *connection);
void connection_start(struct connection *connection, bool filled);
void connection_drop_later(struct connection *connection);
void connection_took(struct connection *connection, const void *bytes, size_t size);
/** It is in the registry no longer. */
void connection_left(struct connection *connection);

/* sockets.c */

bool connection_is_socket(const struct connection *connection);
void socket_open(struct connection *connection);
/** sse_emitter_new refused it. */
void socket_refused(struct connection *connection);
/** The client is gone. */
void socket_break(struct connection *connection);
/** The emitter says that it has written so many bytes. */
void socket_follow(struct connection *connection, uint64_t written);
/** The client reads. */
void socket_read(struct connection *connection, size_t size);
/** The emitter has been released. */
void socket_finish(struct connection *connection);

/* sync.c */

/** Follows what the library did of its own accord, and compares. */
void sync_connection(struct connection *connection);
/** A socket has a byte that nobody queued: of a heartbeat, or of the last chunk. */
void follow_written(struct connection *connection, unsigned char byte);
void sync_all(struct world *world);

/* stream.c */

/** Compares the completion record with what was written. */
void connection_settle(struct connection *connection, const struct sse_completion *completion);
bool piece_is_body(const struct piece *piece);
/** The bytes of a message that are within that many bytes of the stream, without their chunk. */
struct sse_text piece_body(const struct connection *connection, const struct piece *piece, size_t received);

/* callbacks.c */

void callbacks_install(struct sse_emitter_options *options, struct connection *connection);
void on_wake(struct sse_loop *wakened, void *user);

/* replaying.c */

bool request_wants(const struct request *request, const struct record *record);
void request_find_place(struct world *world, struct request *request);
/** The subscription is made: queues what the client is owed. `choose`: the server may fill a gap. */
void request_resolve(struct connection *connection, struct request *request, const struct sse_replay *replay,
                     bool choose);
/** The record of an id in the server's own store, or RECORDS_MAX. */
size_t store_find(const struct world *world, struct sse_text id);

/* joining.c */

size_t count_members(const struct world *world, int topic);
/** Makes an emitter, in the registry or not. NULL: it was refused. */
struct connection *connection_open(struct world *world, bool registered, struct request *request);
int subscribe(struct connection *connection, struct request *request);

/* publishing.c */

struct sse_text topic_name(int topic);
struct sse_message *message_of(struct world *world, const struct record *record);
/** Offers a record to the queue. Which limits hold may have to be seen afterwards. */
enum verdict offer_begin(struct offer *offer, struct connection *connection, size_t record, bool live);
enum verdict offer_end(struct offer *offer);
void publish(struct world *world, int topic);

/* sending.c */

int send_record(struct connection *connection, size_t record);
void send_direct(struct connection *connection);
void ping(struct connection *connection);
void start(struct connection *connection);
/** The send under way failed for want of memory. */
void take_back_send(struct connection *connection);
/** Which limits held for the send under way is seen. */
void settle_send(struct connection *connection);

/* reading.c */

void pull(struct connection *connection, size_t size);
/** What a read under way has copied counts. */
void finish_read(struct connection *connection);
void interrupt(struct connection *connection);
/** A wait that does not wait: it runs the timers and callbacks of an emitter without a loop. */
void look(struct connection *connection);

/* ending.c */

/** Before and after a call of one emitter. `of_reader`: a PULL emitter's callbacks may run in it. Returns
 * what the end has to be told. */
bool call_begin(struct connection *connection, bool of_reader);
void call_end(struct connection *connection, bool counted);
void complete(struct connection *connection);
void break_off(struct connection *connection);
void close_connection(struct connection *connection);
void change_references(struct connection *connection);
void release_reference(struct connection *connection);
void flush(struct connection *connection);
void unsubscribe(struct connection *connection);
void complete_many(struct world *world);

/* shutdown.c */

void shut_down(struct world *world);

/* loops.c */

void loop_open(struct loop *loop);
struct loop *loop_draw(struct world *world);
void loop_turn(struct loop *loop);
void loop_close(struct loop *loop);
void loop_finish(struct loop *loop);
/** From inside its own turn. */
void loop_nest(struct loop *loop);
void check_loops(struct world *world);
/** Turns until no loop has anything to do. */
void serve_loops(struct world *world);

/* clients.c */

void client_connect(struct world *world, struct client *client);
/** It has that many bytes of its stream, and stops listening. */
void client_leave(struct client *client, struct world *world, size_t received);
/** It is told of a gap. */
void client_told(struct client *client, const struct request *request);
/** Everything owed was seen. */
void client_check(struct client *client, struct world *world);
/** Who reads this stream, or NULL. */
struct client *client_of(const struct connection *connection);

/* audit.c */

void audit(struct world *world);
size_t count_backlog(const struct world *world);
void check_budget(struct world *world);

/* steps.c */

void step(struct world *world);
/** Something from inside a callback. */
void nested_step(struct world *world, struct connection *self);
void drive(struct connection *connection, size_t size);
void serve_alone(struct world *world, unsigned percent);

/* scenario.c */

/** The number of the first id that is assigned. */
uint64_t first_sequence(const struct world *world);
void world_run(struct world *world, uint64_t seed);

#endif
