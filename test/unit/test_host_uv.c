/* SPDX-License-Identifier: MIT */
/* The server of examples/hosts/uv.c, when there is no memory for a connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define main host_main
#include "hosts/uv.c"
#undef main

#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define REFUSALS 2
/* Only a server that has stopped accepting takes so long. */
#define ANSWER_S 20

static const char request_text[] = "HEAD /events?topic=a HTTP/1.1\r\nHost: localhost\r\n\r\n";

static atomic_int refusals; /* connections for which there is no memory */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
    if (size != sizeof(struct connection) || !atomic_load(&refusals))
        return __real_calloc(count, size);
    atomic_fetch_sub(&refusals, 1);
    return NULL;
}

static char port[8];

static void *serve(void *result)
{
    char program[] = "host_uv";
    char *arguments[] = {program, port, NULL};

    *(int *)result = host_main(2, arguments);
    return NULL;
}

/* One that is free, as far as one can know. */
static struct sockaddr_in choose_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    (void)snprintf(port, sizeof(port), "%u", (unsigned)ntohs(address.sin_port));
    return address;
}

/* Sends a request, and returns the client's socket. */
static int ask(const struct sockaddr_in *address)
{
    const struct timeval timeout = {.tv_sec = ANSWER_S};
    int fd;

    for (;;) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(fd >= 0);
        if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)))
            break;
        /* It does not listen yet. */
        close(fd);
        sched_yield();
    }
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
    assert_int_equal(send(fd, request_text, strlen(request_text), 0), strlen(request_text));
    return fd;
}

static void expect_answer(int fd)
{
    static const char beginning[] = "HTTP/1.1 200 ";
    char text[sizeof(beginning)] = "";

    assert_int_equal(recv(fd, text, strlen(beginning), MSG_WAITALL), strlen(beginning));
    assert_string_equal(text, beginning);
    close(fd);
}

/* It accepts them later, in their order. */
static void without_memory_for_a_connection_it_pauses(void **state)
{
    struct sockaddr_in address = choose_port();
    sigset_t signals;
    pthread_t thread;
    int result = -1, first, second;

    (void)state;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &signals, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve, &result), 0);
    expect_answer(ask(&address));
    atomic_store(&refusals, REFUSALS);
    first = ask(&address);
    second = ask(&address);
    expect_answer(first);
    expect_answer(second);
    assert_int_equal(atomic_load(&refusals), 0);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    pthread_join(thread, NULL);
    assert_int_equal(result, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_for_a_connection_it_pauses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
