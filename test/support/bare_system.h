/* SPDX-License-Identifier: MIT */
/**
 * The suite `compilers` includes this before every file of the library. It removes what POSIX does not define, and
 * what macOS, FreeBSD, OpenBSD, NetBSD or illumos lack, or once lacked, of POSIX. The library must still compile.
 */

#define SSE_BARE_SYSTEM

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#undef MSG_CMSG_CLOEXEC
#undef MSG_DONTWAIT
#undef MSG_NOSIGNAL
#undef POLLRDHUP
#undef SIGXFSZ
#undef SOCK_CLOEXEC
#undef SOCK_NONBLOCK
#undef TCP_USER_TIMEOUT
#undef _POSIX_REALTIME_SIGNALS

#pragma GCC poison accept4 dup3 pipe2
#pragma GCC poison epoll_create epoll_create1 epoll_ctl epoll_wait eventfd timerfd_create timerfd_settime
#pragma GCC poison pthread_condattr_setclock sem_init pthread_barrier_init
#pragma GCC poison clock_nanosleep getentropy getrandom ppoll sendmmsg sigtimedwait sigwaitinfo
