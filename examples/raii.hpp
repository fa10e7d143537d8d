// SPDX-License-Identifier: MIT
#ifndef RAII_HPP
#define RAII_HPP

// Owners for C++11. An owner releases its object at the end of its scope. If an object cannot be made or an event
// cannot be published, an exception is thrown. The end of a stream throws none, because clients disconnect at any
// time.
//
// No exception may leave a callback: the library is written in C.

#include <memory>
#include <sse/sse.h>
#include <string>
#include <system_error>
#include <thread>

namespace sse
{

inline void check(int error, const char *what)
{
    if (error < 0)
        throw std::system_error(-error, std::generic_category(), what);
}

// Options, or another struct that begins with its size. Every other member has its default.
template <class Options> Options defaults()
{
    Options options{};
    options.size = sizeof(options);
    return options;
}

// The string must live as long as the text.
inline sse_text text(const std::string &string)
{
    return {string.data(), string.size()};
}

class registry
{
  public:
    explicit registry(const sse_registry_options &options = defaults<sse_registry_options>())
        : pointer(nullptr, sse_registry_unref)
    {
        sse_registry *made = nullptr;
        check(sse_registry_new(&made, &options), "sse_registry_new");
        pointer.reset(made);
    }

    sse_delivery publish(const sse_event &event, sse_text topic = sse_str(nullptr))
    {
        sse_delivery delivery{};
        check(sse_registry_publish(get(), topic, &event, &delivery), "sse_registry_publish");
        return delivery;
    }

    // Returns when every stream has ended.
    void shut_down(const sse_shutdown_options &options)
    {
        check(sse_registry_shutdown(get(), &options), "sse_registry_shutdown");
        check(sse_registry_wait(get(), -1), "sse_registry_wait");
    }

    sse_registry *get() const
    {
        return pointer.get();
    }

  private:
    std::unique_ptr<sse_registry, decltype(&sse_registry_unref)> pointer;
};

// A polled loop and the thread that runs it. The destructor ends the loop's streams.
class loop_thread
{
  public:
    loop_thread() : pointer(nullptr, sse_loop_free)
    {
        sse_loop *made = nullptr;
        check(sse_loop_new(&made, nullptr), "sse_loop_new");
        pointer.reset(made);
        thread = std::thread(sse_loop_run, made);
    }

    ~loop_thread()
    {
        sse_loop_stop(get());
        thread.join();
    }

    sse_loop *get() const
    {
        return pointer.get();
    }

  private:
    std::unique_ptr<sse_loop, decltype(&sse_loop_free)> pointer;
    std::thread thread;
};

class emitter
{
  public:
    // The stream owns `user`, which the callbacks receive, and deletes it after the last callback.
    template <class User>
    emitter(sse_emitter_options options, std::unique_ptr<User> user, sse_replay *replay = nullptr)
        : pointer(nullptr, sse_emitter_close)
    {
        sse_emitter *made = nullptr;
        options.user = user.get();
        options.on_release = [](void *released) { delete static_cast<User *>(released); };
        check(sse_emitter_new(&made, &options, replay), "sse_emitter_new");
        pointer.reset(made);
        user.release();
    }

    // Returns 0, or the error because of which the client does not receive the event.
    int send(const sse_event &event)
    {
        return sse_emitter_send(get(), &event);
    }

    // The stream needs no owner: its loop keeps it until it ends.
    void let_go()
    {
        sse_emitter_unref(pointer.release());
    }

    sse_emitter *get() const
    {
        return pointer.get();
    }

  private:
    std::unique_ptr<sse_emitter, decltype(&sse_emitter_close)> pointer;
};

} // namespace sse

#endif
