/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_OPERATIONS_H
#define SCHEDULES_OPERATIONS_H

/** What a thread does in a schedule. The number behind some of them is the client's or the loop's. */

#define OPERATIONS 3

typedef void operation(void);

/** A new schedule. */
void operations_clear(void);

/* The thread of a loop. */

/** Waits until a turn is due, and takes it. Nothing if the others are done before. */
operation turn_0, turn_1;
/** Takes turns until the others are done. */
operation serve_0;
operation free_loop_0;

/* To the registry. */
operation publish, publish_to_second, publish_to_all;
operation subscribe_0, unsubscribe_0;
operation complete_all, shut_down, wait_for_all, unref_registry;
operation add_callback_client, add_forgotten_client;
/** One whose client has had the first event. */
operation add_client_that_returns;

/* To an emitter. */
operation send_0, send_1, flush_0, start_0, start_filled_0, complete_0, abort_0, close_0, close_1, unref_0;
operation read_0, wait_and_read_0, interrupt_0;
/** The client takes bytes again, and its server says so. */
operation make_room_0;

#endif
