/* The server on muster with a monitor, whose metrics somebody reads every second. */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <muster/monitor.h>

#include "role.h"

#define NANOSECONDS_IN_S 1000000000U

static struct {
    struct muster_monitor *monitor;
    pthread_t reader;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool rests; /* nobody reads */
    bool ends;
} monitored = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void scrape(void)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(muster_monitor_port(monitored.monitor)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char bytes[65536];
    ssize_t size, all = 0;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        send(descriptor, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
        role_fail("the monitor does not answer: %s", strerror(errno));
    while ((size = recv(descriptor, bytes, sizeof(bytes), 0)) > 0)
        all += size;
    close(descriptor);
    if (all == 0)
        role_fail("the monitor says nothing");
}

/* Waits until the next reading is due; false: it is over. */
static bool wait_for_next(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    int passed = 0;
    pthread_mutex_lock(&monitored.lock);
    while (!monitored.ends && (!passed || monitored.rests)) {
        if (monitored.rests)
            pthread_cond_wait(&monitored.changed, &monitored.lock);
        else
            passed = pthread_cond_timedwait(&monitored.changed, &monitored.lock, &until);
    }
    bool goes_on = !monitored.ends;
    pthread_mutex_unlock(&monitored.lock);
    return goes_on;
}

static void *read_on(void *unused)
{
    while (wait_for_next())
        scrape();
    return unused;
}

static uint16_t start(const struct role_options *options)
{
    struct muster_monitor_options monitor_options;
    struct muster_error error = {0};
    uint16_t port = muster_server.start(options);
    muster_monitor_options_init(&monitor_options);
    monitor_options.listen = "127.0.0.1:0";
    monitor_options.max_participant_series = options->participants;
    if (muster_monitor_start(&monitor_options, &monitored.monitor, &error) != MUSTER_OK ||
        muster_monitor_add_manager(monitored.monitor, NULL, muster_server_manager(), &error) != MUSTER_OK)
        role_fail("%s", error.text);
    if (pthread_create(&monitored.reader, NULL, read_on, NULL) != 0)
        role_fail("no thread");
    return port;
}

static void join(size_t count)
{
    muster_server.join(count);
}

static void turn(void)
{
    muster_server.turn();
}

static void round_with_all(void)
{
    muster_server.round();
}

static void tell(bool *what, bool value)
{
    pthread_mutex_lock(&monitored.lock);
    *what = value;
    pthread_cond_signal(&monitored.changed);
    pthread_mutex_unlock(&monitored.lock);
}

static void watch(bool watches)
{
    tell(&monitored.rests, !watches);
}

static void stop(void)
{
    tell(&monitored.ends, true);
    pthread_join(monitored.reader, NULL);
    muster_monitor_free(monitored.monitor);
    muster_server.stop();
}

const struct role_server muster_monitored_server = {.start = start,
                                                    .join = join,
                                                    .turn = turn,
                                                    .round = round_with_all,
                                                    .stop = stop,
                                                    .scrape = scrape,
                                                    .watch = watch};
