// SPDX-License-Identifier: MIT
// The library from C++17, as its programs would write it: names, initialisers, callbacks.
#include <sse/sse.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace
{

struct client {
    std::string received;
    enum sse_reason reason = SSE_REASON_NONE;
    bool released = false;
};

ssize_t write_to(void *user, const struct iovec *iov, int count)
{
    std::string &received = static_cast<client *>(user)->received;
    const std::size_t before = received.size();

    std::for_each(iov, iov + count, [&received](const struct iovec &piece) {
        received.append(static_cast<const char *>(piece.iov_base), piece.iov_len);
    });
    return static_cast<ssize_t>(received.size() - before);
}

using registry_pointer = std::unique_ptr<sse_registry, decltype(&sse_registry_unref)>;
using loop_pointer = std::unique_ptr<sse_loop, decltype(&sse_loop_free)>;
using emitter_pointer = std::unique_ptr<sse_emitter, decltype(&sse_emitter_close)>;

registry_pointer make_registry()
{
    struct sse_registry_options options {
    };
    struct sse_registry *registry = nullptr;

    options.size = sizeof(options);
    options.history.events = 10;
    options.id_prefix = sse_str("cpp");
    sse_registry_new(&registry, &options);
    return registry_pointer(registry, sse_registry_unref);
}

loop_pointer make_loop(int &wakes)
{
    sse_loop_options options{};
    sse_loop *loop = nullptr;

    options.size = sizeof(options);
    options.on_wake = [](sse_loop *, void *user) { ++*static_cast<int *>(user); };
    options.user = &wakes;
    sse_loop_new(&loop, &options);
    return loop_pointer(loop, sse_loop_free);
}

emitter_pointer make_emitter(sse_registry *registry, sse_loop *loop,
                             const std::vector<struct sse_text> &topics, client &owner)
{
    sse_emitter_options options{};
    sse_emitter *emitter = nullptr;
    sse_replay replay{};

    options.size = sizeof(options);
    options.registry = registry;
    options.loop = loop;
    options.topics = topics.data();
    options.topic_count = topics.size();
    options.output = SSE_OUTPUT_CALLBACK;
    options.write = write_to;
    options.on_completion = [](sse_emitter *, const sse_completion *completion, void *user) {
        static_cast<client *>(user)->reason = completion->reason;
    };
    options.on_release = [](void *user) { static_cast<client *>(user)->released = true; };
    options.user = &owner;
    sse_emitter_new(&emitter, &options, &replay);
    return emitter_pointer(emitter, sse_emitter_close);
}

} // namespace

int main()
{
    const std::string kitchen = "kitchen";
    const std::vector<struct sse_text> topics = {sse_str("garden"), {kitchen.data(), kitchen.size()}};
    client owner;
    int wakes = 0;
    auto registry = make_registry();
    auto loop = make_loop(wakes);
    auto emitter = make_emitter(registry.get(), loop.get(), topics, owner);
    sse_event event{};
    sse_delivery delivery{};
    sse_emitter_info info{};
    sse_registry_stats stats{};

    event.type = sse_str("alarm");
    event.data = sse_str("the kettle boils");
    if (!emitter || sse_registry_publish(registry.get(), topics[1], &event, &delivery) != 0)
        return 1;
    sse_emitter_complete(emitter.get());
    while (sse_loop_turn(loop.get()) == 0)
        continue;
    sse_emitter_get_info(emitter.get(), &info, sizeof(info));
    sse_registry_get_stats(registry.get(), &stats, sizeof(stats));
    emitter.reset();
    loop.reset();
    std::fputs(owner.received.c_str(), stdout);
    return owner.received == ":\nevent: alarm\ndata: the kettle boils\nid: cpp-0000000000000001\n\n" &&
                   delivery.receivers == 1 && info.reason == SSE_REASON_COMPLETED && stats.published == 1 &&
                   owner.reason == SSE_REASON_COMPLETED && owner.released && wakes > 0
               ? 0
               : 1;
}
