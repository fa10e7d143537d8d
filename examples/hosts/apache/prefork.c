/* SPDX-License-Identifier: MIT */
/*
 * mpm_prefork: a process serves one request at a time, in the only thread that Apache gives it.
 *
 * Apache ends such a process inside the handler of a signal, where the locks and the memory of the library
 * may be in any state. So a stream holds the signals back. The follower of shared.c sees that one is pending,
 * and ends the stream. Then the signal comes.
 */
#include "mod_sse.h"

#include <ap_mpm.h>
#include <apr_shm.h>
#include <mpm_common.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* The processes that serve a stream, in memory that all of them share. 0: nobody. */
static _Atomic pid_t *places;
static _Atomic pid_t *taken;

/* -- places --------------------------------------------------------------------------------- */

apr_status_t prefork_create(apr_pool_t *pool)
{
    apr_shm_t *memory;
    apr_status_t status =
        apr_shm_create(&memory, (apr_size_t)child.streams_max * sizeof(*places), NULL, pool);

    if (!status)
        places = apr_shm_baseaddr_get(memory);
    return status;
}

/* A process that was killed has left its place as it was. */
static bool is_free(pid_t owner)
{
    return !owner || owner == getpid() || (kill(owner, 0) < 0 && errno == ESRCH);
}

bool prefork_take_place(void)
{
    for (int i = 0; i < child.streams_max; i++) {
        pid_t owner = atomic_load(&places[i]);

        if (is_free(owner) && atomic_compare_exchange_strong(&places[i], &owner, getpid())) {
            taken = &places[i];
            return true;
        }
    }
    return false;
}

void prefork_leave_place(void)
{
    atomic_store(taken, 0);
}

/* -- signals -------------------------------------------------------------------------------- */

/* `graceful-stop` and `graceful` send the first, `stop` and `restart` the others. */
static sigset_t signals_that_end(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, AP_SIG_GRACEFUL);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    return signals;
}

void prefork_hold_signals(sigset_t *before)
{
    const sigset_t signals = signals_that_end();

    if (child.is_prefork)
        pthread_sigmask(SIG_BLOCK, &signals, before);
}

void prefork_release_signals(const sigset_t *before)
{
    if (child.is_prefork)
        pthread_sigmask(SIG_SETMASK, before, NULL);
}

int prefork_open_signals(void)
{
    const sigset_t signals = signals_that_end();

    return child.is_prefork ? signalfd(-1, &signals, SFD_CLOEXEC) : -1;
}

bool prefork_ends_gracefully(void)
{
    sigset_t pending;

    sigpending(&pending);
    return !sigismember(&pending, SIGTERM) && !sigismember(&pending, SIGHUP);
}

/* The signal came before it could be held back. */
bool prefork_is_ending(void)
{
    int state = AP_MPMQ_RUNNING;

    return child.is_prefork && !ap_mpm_query(AP_MPMQ_MPM_STATE, &state) && state == AP_MPMQ_STOPPING;
}
