/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_OPERATIONS_H
#define SCHEDULES_OPERATIONS_H

/** The operations of a thread in a schedule. The number in some names is the client's or the loop's. */

#define OPERATIONS 3

typedef void operation(void);

/** A new schedule. */
void operations_clear(void);

/* For the thread of a loop. */

/** Waits until a turn is due, and takes it. Does nothing if the other threads finish earlier. */
operation turn_0, turn_1;
/** Takes turns until the other threads have finished. */
operation serve_0;
operation free_loop_0;

/* On the registry. */
operation publish, publish_to_second, publish_to_all;
operation subscribe_0, unsubscribe_0;
operation complete_all, shut_down, wait_for_all, unref_registry;
operation add_callback_client, add_forgotten_client;
/** Makes an emitter whose client has received the first event. */
operation add_client_that_returns;

/* On an emitter. */
operation send_0, send_1, flush_0, start_0, start_filled_0, complete_0, abort_0, close_0, close_1, unref_0;
operation read_0, wait_and_read_0, interrupt_0;
/** The client reads again, and its server reports room. */
operation make_room_0;

#endif
