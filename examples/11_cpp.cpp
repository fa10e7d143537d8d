// SPDX-License-Identifier: MIT
// The library in C++11, with the owners of raii.hpp: each line of standard input goes to every client.
//
//     tail -f some.log | 11_cpp 8080
//     curl -N http://127.0.0.1:8080/
//
// As in the quick start, every connection becomes a stream. The server ends when its input ends.
#include "raii.hpp"

#include <arpa/inet.h>
#include <iostream>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace
{

const int PAUSE_MS = 100;

struct descriptor {
    explicit descriptor(int opened) : number(opened)
    {
        sse::check(number < 0 ? -errno : 0, "a socket");
    }
    descriptor(const descriptor &) = delete;
    descriptor &operator=(const descriptor &) = delete;
    ~descriptor()
    {
        if (number >= 0)
            close(number);
    }

    int number; // negative: it is another one's
};

// What the program stores for each client. It is freed with the stream.
struct visitor {
    int number;
};

void on_completion(sse_emitter *, const sse_completion *completion, void *user)
{
    const int number = static_cast<visitor *>(user)->number;
    std::cout << "client " + std::to_string(number) + ": " + sse_reason_name(completion->reason) + "\n";
}

void listen_on(const descriptor &listener, const char *port)
{
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    sockaddr *const any = reinterpret_cast<sockaddr *>(&address);
    const int on = 1;

    std::cout << std::unitbuf;
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::stoul(port)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (setsockopt(listener.number, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(listener.number, any, size) != 0 || listen(listener.number, SOMAXCONN) != 0 ||
        getsockname(listener.number, any, &size) != 0)
        sse::check(-errno, port);
    std::cout << "listening on http://127.0.0.1:" << ntohs(address.sin_port) << "/\n";
}

void welcome(int fd, int number, const sse::registry &registry, const sse::loop_thread &loop)
{
    descriptor socket(fd);
    auto http = sse::defaults<sse_http_options>();
    auto options = sse::defaults<sse_emitter_options>();
    const std::string greeting = "you are client " + std::to_string(number);
    sse_event event{};
    options.registry = registry.get();
    options.loop = loop.get();
    options.output = SSE_OUTPUT_FD;
    options.fd = fd;
    options.http = &http;
    options.on_completion = on_completion;
    sse::emitter client(options, std::unique_ptr<visitor>(new visitor{number}));
    socket.number = -1;
    event.type = sse_str("welcome");
    event.data = sse::text(greeting);
    client.send(event);
    client.let_go();
}

// The server reports an error of one line or one client and continues.
template <class Work> void attempt(Work work)
{
    try {
        work();
    } catch (const std::exception &error) {
        std::cerr << "11_cpp: " << error.what() << std::endl;
    }
}

// Publishes the lines that are complete. Returns false at the end of the input.
bool read_input(std::string &input, sse::registry &registry)
{
    char bytes[4096];
    const ssize_t size = read(STDIN_FILENO, bytes, sizeof(bytes));

    input.append(bytes, size > 0 ? static_cast<std::size_t>(size) : 0);
    for (auto end = input.find('\n'); end != std::string::npos; end = input.find('\n')) {
        attempt([&] {
            sse_event event{};
            event.data = {input.data(), end};
            registry.publish(event);
        });
        input.erase(0, end + 1);
    }
    return size > 0 || (size < 0 && errno == EINTR);
}

} // namespace

int main(int argument_count, char **arguments)
try {
    descriptor listener(socket(AF_INET, SOCK_STREAM, 0));
    sse::registry registry;
    sse::loop_thread loop;
    pollfd polls[] = {{STDIN_FILENO, POLLIN, 0}, {listener.number, POLLIN, 0}};
    auto options = sse::defaults<sse_shutdown_options>();
    std::string input;

    listen_on(listener, argument_count == 2 ? arguments[1] : "8080");
    for (int number = 1;;) {
        const int ready = poll(polls, 2, polls[1].fd < 0 ? PAUSE_MS : -1);
        polls[1].fd = listener.number;
        if (ready < 0)
            continue;
        if (polls[0].revents != 0 && !read_input(input, registry))
            break;
        if (polls[1].revents == 0)
            continue;
        const int fd = accept(listener.number, nullptr, nullptr);
        // Without a free descriptor it would fail again at once: it is not polled for a while.
        if (fd < 0)
            polls[1].fd = -1;
        else
            attempt([&] { welcome(fd, number++, registry, loop); });
    }
    options.drain_ms = 2000;
    registry.shut_down(options);
    return 0;
} catch (const std::exception &error) {
    std::cerr << "11_cpp: " << error.what() << std::endl;
    return 1;
}
