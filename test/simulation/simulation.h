/* SPDX-License-Identifier: MIT */
#ifndef SIMULATION_H
#define SIMULATION_H

/**
 * A registry and its loops in a world that one seed determines: clients that connect, stall, disconnect and
 * reconnect with the last id that they received; a clock that jumps; a server that publishes, completes, closes and
 * shuts down, also inside callbacks; loops with late turns; and memory that runs out.
 *
 * A model runs beside it. It knows only the calls of the library: what was published in which order, what the
 * history may retain of it (history.c), and what is therefore queued for each emitter (lane.c). Every byte that is
 * offered to an output is compared with the model's queue. After every call, sizes and counters are compared
 * (audit.c). An independent parser reads the clients' bytes (clients.c): each event of a client's topics must
 * arrive once and in order, or the client is notified of a gap.
 *
 * It uses only the public headers. Random decisions of the library are only checked against their limits.
 */

#include "model.h"

/* simulation.c */

/** Ends the run with a message and the seed if the condition is false. */
void expect(struct world *world, bool holds, const char *format, ...) __attribute__((format(printf, 3, 4)));
void expect_equal(struct world *world, uint64_t expected, uint64_t actual, const char *what);
void narrate(const struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t chance_bits(struct world *world);
/** From 0 to `bound` - 1. */
size_t chance_below(struct world *world, size_t bound);
bool chance_percent(struct world *world, unsigned percent);
uint64_t world_now(const struct world *world);
/** Surround a call of the library in which memory may run out. */
void fail_begin(struct world *world);
/** Called inside a callback: there is enough memory until the outer call returns. */
void fail_suspend(struct world *world);
/** Returns whether it ran out. */
bool fail_end(struct world *world);
/** Whether it ran out in the current call, or in the last one. */
bool memory_is_short(const struct world *world);
bool same_text(struct sse_text left, struct sse_text right);

/* records.c */

struct sse_text arena_format(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool records_have_room(const struct world *world);
/** A record of these events. */
struct record *record_new(struct world *world, int topic, const struct sse_event *events, unsigned count);
struct record *record_draw(struct world *world, int topic);
struct sse_text assigned_id(struct world *world, uint64_t sequence);
bool is_dispatched(const struct sse_event *event);

/* history.c */

void history_learn_costs(void);
/** Adds the record with this index to a history. */
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
/** Its current content does not count against its limits. */
void lane_exempt_all(struct lane *lane);
void lane_remove(struct lane *lane, size_t index);
/** The place of what is dropped if there is no memory for the last message. */
size_t lane_victim(const struct connection *connection, const struct lane *lane);
void lane_clear(struct lane *lane);
void lane_copy(struct lane *to, const struct lane *from);
/** Whether its content is above its limits times the factor. */
bool lane_is_over(const struct connection *connection, const struct lane *lane, size_t factor);
/** Whether the message could never fit into its queue. */
bool record_is_too_large(const struct connection *connection, size_t record);
/** Applies the overflow policy to a message. The limits are multiplied by the factor. */
enum verdict lane_offer(const struct connection *connection, struct lane *lane, struct item item,
                        size_t factor, uint64_t *dropped);
/** Applies the overflow policy to a queue whose output was tried. */
enum verdict lane_judge(const struct connection *connection, struct lane *lane, uint64_t *dropped);
/** Compares the bytes offered to an output with the queue. Returns their number. */
size_t queue_shows(struct connection *connection, const struct iovec *iov, int count);

/* connections.c */

uint64_t milliseconds(int64_t option, int64_t by_default);
struct connection *connection_make(struct world *world, bool registered);
void connection_free(struct connection *connection);
bool connection_info(const struct connection *connection, struct sse_emitter_info *info);
/** Whether the server has a reference. */
bool connection_is_usable(const struct connection *connection);
bool connection_is_pull(const struct connection *connection);
/** The result of its calls after its end. */
int end_error(const struct connection *connection);
/** Returns the lane for new messages. */
struct lane *connection_tail(struct connection *connection);
/** The number of bytes, without and with those behind a pause. */
size_t connection_queued(const struct connection *connection);
size_t connection_backlog(const struct connection *connection);
void connection_queue(struct connection *connection, struct lane *lane, struct item item);
/** If something is queued, a comment must follow when it was consumed. */
void connection_queue_ping(struct connection *connection);
/** Drops what waits behind the pause for the case that the gap is filled, or for the other. */
void connection_choose(struct connection *connection, bool filled);
void connection_start(struct connection *connection, bool filled);
void connection_drop_later(struct connection *connection);
void connection_took(struct connection *connection, const void *bytes, size_t size);
/** It is not in the registry any more. */
void connection_left(struct connection *connection);

/* sockets.c */

bool connection_is_socket(const struct connection *connection);
void socket_open(struct connection *connection);
/** sse_emitter_new refused it. */
void socket_refused(struct connection *connection);
/** The client has disconnected. */
void socket_break(struct connection *connection);
/** The emitter has written this many bytes, by its own count. */
void socket_follow(struct connection *connection, uint64_t written);
/** Lets the client read. */
void socket_read(struct connection *connection, size_t size);
/** The emitter has been released. */
void socket_finish(struct connection *connection);

/* sync.c */

/** Follows the library's own actions, and compares. */
void sync_connection(struct connection *connection);
/** A socket has a byte that the model did not queue: of a heartbeat, or of the last chunk. */
void follow_written(struct connection *connection, unsigned char byte);
void sync_all(struct world *world);

/* stream.c */

/** Compares the completion record with what was written. */
void connection_settle(struct connection *connection, const struct sse_completion *completion);
bool piece_is_body(const struct piece *piece);
/** The bytes of a message within that many bytes of the stream, without their chunk. */
struct sse_text piece_body(const struct connection *connection, const struct piece *piece, size_t received);

/* callbacks.c */

void callbacks_install(struct sse_emitter_options *options, struct connection *connection);
void on_wake(struct sse_loop *wakened, void *user);

/* replaying.c */

bool request_wants(const struct request *request, const struct record *record);
void request_find_place(struct world *world, struct request *request);
/** The subscription is made: queues the events that the client must receive. `choose`: the server may fill a
 *  gap. */
void request_resolve(struct connection *connection, struct request *request, const struct sse_replay *replay,
                     bool choose);
/** Finds the record of an id in the server's own store, or RECORDS_MAX. */
size_t store_find(const struct world *world, struct sse_text id);

/* joining.c */

size_t count_members(const struct world *world, int topic);
/** Makes an emitter, in the registry or not. Returns NULL if it was refused. */
struct connection *connection_open(struct world *world, bool registered, struct request *request);
int subscribe(struct connection *connection, struct request *request);

/* publishing.c */

struct sse_text topic_name(int topic);
struct sse_message *message_of(struct world *world, const struct record *record);
/** Offers a record to the queue. Sometimes only the result shows which limits hold. */
enum verdict offer_begin(struct offer *offer, struct connection *connection, size_t record, bool live);
enum verdict offer_end(struct offer *offer);
void publish(struct world *world, int topic);

/* sending.c */

int send_record(struct connection *connection, size_t record);
void send_direct(struct connection *connection);
void ping(struct connection *connection);
void start(struct connection *connection);
/** The current send failed for lack of memory. */
void take_back_send(struct connection *connection);
/** Notes which limits held for the current send. */
void settle_send(struct connection *connection);

/* reading.c */

void pull(struct connection *connection, size_t size);
/** Counts the bytes that the current read has copied. */
void finish_read(struct connection *connection);
void interrupt(struct connection *connection);
/** A wait of 0 milliseconds. It runs the timers and callbacks of an emitter without a loop. */
void look(struct connection *connection);

/* ending.c */

/** Surround a call of one emitter. `of_reader`: a PULL emitter's callbacks may run in it. Returns a value for the
 *  second function. */
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
/** Called inside its own turn. */
void loop_nest(struct loop *loop);
void check_loops(struct world *world);
/** Takes turns until no loop has work. */
void serve_loops(struct world *world);

/* clients.c */

void client_connect(struct world *world, struct client *client);
/** It has received that many bytes of its stream, and stops reading. */
void client_leave(struct client *client, struct world *world, size_t received);
/** It is notified of a gap. */
void client_told(struct client *client, const struct request *request);
/** Checks that everything expected was received. */
void client_check(struct client *client, struct world *world);
/** Returns the client of this stream, or NULL. */
struct client *client_of(const struct connection *connection);

/* audit.c */

void audit(struct world *world);
size_t count_backlog(const struct world *world);
void check_budget(struct world *world);

/* steps.c */

void step(struct world *world);
/** Makes a random call inside a callback. */
void nested_step(struct world *world, struct connection *self);
void drive(struct connection *connection, size_t size);
void serve_alone(struct world *world, unsigned percent);

/* scenario.c */

/** The number of the first assigned id. */
uint64_t first_sequence(const struct world *world);
void world_run(struct world *world, uint64_t seed);

#endif
