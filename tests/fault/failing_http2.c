/* The HTTP/2 transport on one thread, for scenarios in which allocations fail: those of nghttp2, too. The file of the
   loop is part of this one: its rounds are called here. */
#include "network/http2/loop.c"

#include <criterion/criterion.h>

#include <netdb.h>
#include <stdio.h>

#include "fault/failing_http2.h"
#include "network/scheme.h"

const struct scheme *const muster__built_in_schemes[] = {&muster__http2_scheme, NULL};

/* ---- in the place of threads, clock, nghttp2's memory and the system's ---- */

static struct http2_loop *the_loop;       /* NULL: there is none */
static void *(*looks_up)(void *argument); /* the thread that does it; NULL: none */
static int64_t time_passed;               /* of the clock, which stands still otherwise */

int64_t __real_muster__clock_now(void);
int64_t __wrap_muster__clock_now(void);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *kind, void *(*start)(void *),
                          void *argument);
int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_detach(pthread_t thread);
int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);
/* libnghttp2 calls these two itself, and a linker may refuse it hidden ones. */
#pragma GCC visibility push(default)
int __wrap_nghttp2_session_server_new2(nghttp2_session **session, const nghttp2_session_callbacks *callbacks,
                                       void *user, const nghttp2_option *option);
int __wrap_nghttp2_session_client_new2(nghttp2_session **session, const nghttp2_session_callbacks *callbacks,
                                       void *user, const nghttp2_option *option);
#pragma GCC visibility pop

int64_t __wrap_muster__clock_now(void)
{
    if (time_passed == 0)
        time_passed = __real_muster__clock_now();
    return time_passed;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *kind, void *(*start)(void *),
                          void *argument)
{
    (void)kind;
    if (allocation_fails())
        return EAGAIN;
    *thread = pthread_self();
    if (start == run) {
        cr_assert_null(the_loop);
        the_loop = argument;
    } else {
        cr_assert_null(looks_up);
        looks_up = start;
    }
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    (void)thread, (void)result;
    run(the_loop);
    the_loop = NULL;
    return 0;
}

int __wrap_pthread_detach(pthread_t thread)
{
    (void)thread; /* it is the test's own */
    return 0;
}

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    return allocation_fails() ? EAI_MEMORY : __real_getaddrinfo(host, port, hints, found);
}

static void *session_malloc(size_t size, void *user)
{
    (void)user;
    return malloc(size);
}

static void *session_calloc(size_t count, size_t size, void *user)
{
    (void)user;
    return calloc(count, size);
}

static void *session_realloc(void *old, size_t size, void *user)
{
    (void)user;
    return realloc(old, size);
}

static void session_free(void *pointer, void *user)
{
    (void)user;
    free(pointer);
}

static nghttp2_mem memory = {NULL, session_malloc, session_free, session_calloc, session_realloc};

int __wrap_nghttp2_session_server_new2(nghttp2_session **session, const nghttp2_session_callbacks *callbacks,
                                       void *user, const nghttp2_option *option)
{
    return nghttp2_session_server_new3(session, callbacks, user, option, &memory);
}

int __wrap_nghttp2_session_client_new2(nghttp2_session **session, const nghttp2_session_callbacks *callbacks,
                                       void *user, const nghttp2_option *option)
{
    return nghttp2_session_client_new3(session, callbacks, user, option, &memory);
}

/* ---- the network ---- */

/* As a round of run(). False: there was nothing to do within so much time. */
static bool go_round(int limit_ms)
{
    void *(*start)(void *argument) = looks_up;
    looks_up = NULL;
    if (start)
        start(NULL);
    struct epoll_event events[EVENTS_AT_ONCE];
    bool busy = has_pending(the_loop);
    int count = epoll_wait(the_loop->epoll, events, EVENTS_AT_ONCE, busy ? 0 : limit_ms);
    the_loop->now = muster__clock_now();
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        watch->ready(watch, events[i].events);
    }
    ring(the_loop);
    run_errands(the_loop);
    serve_connections(the_loop);
    clear_graveyard(the_loop);
    return busy || count > 0;
}

/* What is on its way arrives at once nearly always. As long as nothing failed, it is waited for all the same. */
void step_network(void)
{
    enum { ON_ITS_WAY_MS = 1000 };
    cr_assert_not_null(the_loop, "somebody waits without a network");
    int pause = pause_ms(the_loop);
    if (!go_round(undisturbed() ? ON_ITS_WAY_MS : 0))
        time_passed += pause < 0 ? 1000 : pause + 1;
}

int __real_epoll_wait(int epoll, struct epoll_event *events, int count, int limit_ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int limit_ms);

/* Who tends a stream waits for what the network does meanwhile. */
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int limit_ms)
{
    int64_t until = limit_ms < 0 ? INT64_MAX : muster__clock_now() + limit_ms;
    int ready;
    if (epoll == the_loop->epoll)
        return __real_epoll_wait(epoll, events, count, limit_ms);
    while ((ready = __real_epoll_wait(epoll, events, count, 0)) == 0 && muster__clock_now() < until)
        step_network();
    return ready;
}

void settle(void)
{
    while (the_loop && go_round(0))
        ;
}

void pass_time(int64_t milliseconds)
{
    settle();
    time_passed += milliseconds;
    settle();
}

bool await(bool (*has_come)(void))
{
    enum { ROUNDS_MAX = 100, ROUND_MS = 100 };
    for (int idle = 0; !has_come() && idle < ROUNDS_MAX;)
        idle += !go_round(ROUND_MS);
    return has_come();
}

bool is_over(void)
{
    return !the_loop;
}
