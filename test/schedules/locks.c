/* SPDX-License-Identifier: MIT */
#include "locks.h"
#include "failure.h"
#include "memory.h"
#include "objects.h"
#include "order.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define LOCKS_MAX 256

struct lock {
    const void *at; /* NULL: it is destroyed */
    unsigned holder;
    unsigned failed_at[ALL_THREADS]; /* the step of the last trylock that failed */
    struct order order;
};

struct condition {
    const void *at;
    uint64_t bit;
    unsigned waiting; /* bits of threads */
};

/** What a waiting thread waits for. */
struct wait {
    const struct condition *condition;
    const struct lock *lock;
    unsigned thread;
};

/* The content of the system's object: its index here. No condition has the index 0: it is the content after
 * PTHREAD_COND_INITIALIZER. */
struct reference {
    unsigned index;
};

static struct lock locks[LOCKS_MAX];
static unsigned lock_count;
static struct condition conditions[LOCKS_MAX];
static unsigned condition_count = 1;
static unsigned held[ALL_THREADS];

void locks_clear(void)
{
    lock_count = 0;
    condition_count = 1;
    memset(held, 0, sizeof(held));
}

unsigned locks_held(void)
{
    return held[scheduler_self()];
}

unsigned locks_held_by_all(void)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < ALL_THREADS; i++)
        sum += held[i];
    return sum;
}

static unsigned index_in(const void *object, const void *code)
{
    struct reference reference;

    if (memory_place(object) != SIZE_MAX)
        memory_expect_allocated(object, code);
    memcpy(&reference, object, sizeof(reference));
    return reference.index;
}

static struct lock *lock_at(const pthread_mutex_t *mutex, const void *code)
{
    unsigned index = index_in(mutex, code);

    if (index >= lock_count || locks[index].at != mutex)
        failure("no lock is there: %s, at [%p]", objects_name_of(mutex), code);
    return &locks[index];
}

static unsigned add_condition(pthread_cond_t *condition)
{
    const struct reference reference = {.index = condition_count};

    require(condition_count < LOCKS_MAX);
    conditions[condition_count] = (struct condition){.at = condition, .bit = objects_bit(condition)};
    memcpy(condition, &reference, sizeof(reference));
    return condition_count++;
}

static struct condition *condition_at(pthread_cond_t *condition, const void *code)
{
    unsigned index = index_in(condition, code);

    if (!index)
        index = add_condition(condition);
    if (index >= condition_count || conditions[index].at != condition)
        failure("no condition is there: %s, at [%p]", objects_name_of(condition), code);
    return &conditions[index];
}

static bool is_free(const void *mutex)
{
    return lock_at(mutex, NULL)->holder == NOBODY;
}

static void take(struct lock *lock)
{
    lock->holder = scheduler_self();
    held[scheduler_self()]++;
    order_acquire(&lock->order);
}

static void let_go(struct lock *lock, const void *code)
{
    if (lock->holder != scheduler_self())
        failure("a lock is released that the thread does not hold: %s, at [%p]", objects_name_of(lock->at),
                code);
    order_release(&lock->order);
    held[scheduler_self()]--;
    lock->holder = NOBODY;
    scheduler_touch(objects_bit(lock->at));
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    const struct reference reference = {.index = lock_count};

    (void)attributes;
    require(lock_count < LOCKS_MAX);
    locks[lock_count++] = (struct lock){.at = mutex, .holder = NOBODY};
    memcpy(mutex, &reference, sizeof(reference));
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    struct lock *lock = lock_at(mutex, CALLER);

    if (lock->holder != NOBODY)
        failure("a lock is destroyed that is held: %s, at [%p]", objects_name_of(mutex), CALLER);
    lock->at = NULL;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    struct lock *lock = lock_at(mutex, CALLER);
    const struct step step = {.what = "lock",
                              .object = mutex,
                              .touches = objects_bit(lock->at),
                              .is_ready = is_free,
                              .of = mutex,
                              .place = CALLER};

    scheduler_step(&step);
    take(lock_at(mutex, CALLER));
    return 0;
}

/* If a trylock fails again and no other thread has run in between, it is no step. Otherwise a loop of tries would
 * make many schedules. */
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    struct lock *lock = lock_at(mutex, CALLER);
    unsigned *failed_at = &lock->failed_at[scheduler_self()];
    const struct step step = {
        .what = "trylock", .object = mutex, .touches = objects_bit(lock->at), .place = CALLER};

    if (*failed_at && *failed_at == scheduler_steps())
        return EBUSY;
    scheduler_step(&step);
    lock = lock_at(mutex, CALLER);
    *failed_at = scheduler_steps();
    if (lock->holder != NOBODY)
        return EBUSY;
    *failed_at = 0;
    take(lock);
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    let_go(lock_at(mutex, CALLER), CALLER);
    return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
    (void)attributes;
    (void)add_condition(condition);
    return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *at)
{
    struct condition *condition = condition_at(at, CALLER);

    if (condition->waiting)
        failure("a condition is destroyed that is waited for: %s, at [%p]", objects_name_of(at), CALLER);
    condition->at = NULL;
    return 0;
}

static bool is_over(const void *of)
{
    const struct wait *wait = of;

    return !(wait->condition->waiting >> wait->thread & 1) && wait->lock->holder == NOBODY;
}

static void wait_for(pthread_cond_t *at, pthread_mutex_t *mutex, const void *code)
{
    struct condition *condition = condition_at(at, code);
    struct lock *lock = lock_at(mutex, code);
    const struct wait wait = {.condition = condition, .lock = lock, .thread = scheduler_self()};
    const struct step step = {.what = "wait",
                              .object = mutex,
                              .touches = condition->bit | objects_bit(lock->at),
                              .is_ready = is_over,
                              .of = &wait,
                              .place = code};

    let_go(lock, code);
    condition->waiting |= 1u << wait.thread;
    scheduler_touch(condition->bit);
    scheduler_step(&step);
    take(lock);
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    wait_for(condition, mutex, CALLER);
    return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *deadline)
{
    (void)deadline;
    wait_for(condition, mutex, CALLER);
    return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *at)
{
    struct condition *condition = condition_at(at, CALLER);

    condition->waiting &= condition->waiting - 1;
    scheduler_touch(condition->bit);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *at)
{
    struct condition *condition = condition_at(at, CALLER);

    condition->waiting = 0;
    scheduler_touch(condition->bit);
    return 0;
}
