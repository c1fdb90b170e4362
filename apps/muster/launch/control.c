/* One thread waits for all connections. A line is read as it comes, and an answer is written as it is taken; each client
 * has a time limit for both, and none for staying open after that. Who comes when all places are taken gets that of the
 * one that has been slow for longest: so nobody can keep `muster stop` out. */
#include <config.h>

#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/dataset.h"
#include "common/thread.h"
#include "run_files.h"

enum { LINE_SIZE = 4096, LIMIT_MS = 10000, CROWDED_MS = 200, FIXED_WAITS = 2 };

struct client {
    int socket;
    char line[LINE_SIZE];
    size_t length;
    char *answer; /* NULL: the line is not complete yet */
    size_t size, sent;
    bool stays;  /* open, once the answer was taken */
    bool silent; /* it has closed its side, and may listen still */
    int64_t limit_ms;
};

struct control {
    struct control_calls calls;
    int listener, wake;
    pthread_t thread;
    /* Of the thread. */
    struct client *clients[CONTROL_CLIENTS_MAX];
    size_t count;
    bool crowded; /* there is no descriptor or memory for one more: nobody is let in until another has gone */
};

static bool is_done(const struct client *client)
{
    return client->answer && client->sent == client->size;
}

/* ---- clients ---- */

static bool may_ask(int socket)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void drop_client(struct control *control, size_t index)
{
    struct client *client = control->clients[index];
    close(client->socket);
    free(client->answer);
    free(client);
    control->clients[index] = control->clients[--control->count];
    control->crowded = false;
}

/* Fewer may stay than there are places: so there is one that is slow when all are taken. */
static void make_room(struct control *control)
{
    size_t slowest = CONTROL_CLIENTS_MAX;
    for (size_t i = 0; i < control->count; i++) {
        const struct client *client = control->clients[i];
        if (!client->stays &&
            (slowest == CONTROL_CLIENTS_MAX || client->limit_ms < control->clients[slowest]->limit_ms))
            slowest = i;
    }
    if (slowest < CONTROL_CLIENTS_MAX)
        drop_client(control, slowest);
}

static void take_client(struct control *control)
{
    if (control->count == CONTROL_CLIENTS_MAX)
        make_room(control);
    int socket = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0) {
        /* It would be tried again at once, and for ever. */
        control->crowded = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        return;
    }
    struct client *client = may_ask(socket) ? calloc(1, sizeof(*client)) : NULL;
    if (!client) {
        close(socket);
        return;
    }
    client->socket = socket;
    client->limit_ms = clock_ms() + LIMIT_MS;
    control->clients[control->count++] = client;
}

static size_t count_waiting(const struct control *control)
{
    size_t waiting = 0;
    for (size_t i = 0; i < control->count; i++)
        waiting += control->clients[i]->stays;
    return waiting;
}

static json_t *refuse(const char *text)
{
    return json_pack("{s:s}", "error", text);
}

/* What one asks for. */
static json_t *answer(struct control *control, struct client *client)
{
    json_t *wish = json_loadb(client->line, client->length, JSON_REJECT_DUPLICATES, NULL);
    const char *what = json_string_value(json_object_get(wish, "do"));
    bool status = what && strcmp(what, "status") == 0, stop = what && strcmp(what, "stop") == 0;
    bool follow = what && strcmp(what, "follow") == 0;
    json_decref(wish);
    if (status)
        return control->calls.status(control->calls.context);
    if (!stop && !follow)
        return refuse("expected {\"do\": \"status\"}, \"stop\" or \"follow\"");
    if (stop)
        control->calls.stop(control->calls.context);
    if (count_waiting(control) >= CONTROL_WAITING_MAX)
        return refuse(stop ? "it stops, and too many wait for that already" : "too many wait already");
    client->stays = true;
    return json_pack("{s:b}", "ok", 1);
}

/* Makes the answer a line; false when out of memory. */
static bool put_answer(struct client *client, json_t *message)
{
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    if (!text || asprintf(&client->answer, "%s\n", text) < 0) {
        client->answer = NULL;
        free(text);
        return false;
    }
    client->size = strlen(client->answer);
    free(text);
    return true;
}

/* False when it is to be dropped. */
static bool read_client(struct control *control, struct client *client)
{
    if (client->answer) { /* it has nothing more to say: what comes is the end of its side, or nonsense */
        char byte;
        ssize_t count = read(client->socket, &byte, 1);
        client->silent = count == 0;
        return count == 0 || (count < 0 && errno == EAGAIN);
    }
    ssize_t count = read(client->socket, client->line + client->length, LINE_SIZE - client->length);
    if (count <= 0)
        return count < 0 && errno == EAGAIN;
    client->length += (size_t)count;
    const char *end = memchr(client->line, '\n', client->length);
    if (!end)
        return client->length < LINE_SIZE || put_answer(client, refuse("the line is too long"));
    client->length = (size_t)(end - client->line);
    return put_answer(client, answer(control, client));
}

static bool write_client(struct client *client)
{
    while (!is_done(client)) {
        ssize_t count =
            send(client->socket, client->answer + client->sent, client->size - client->sent, MSG_NOSIGNAL);
        if (count < 0)
            return errno == EAGAIN;
        client->sent += (size_t)count;
    }
    return client->stays;
}

/* ---- the thread ---- */

/* Serves those that can go on; from the last to the first, as a dropped one's place is taken by the last. */
static void serve(struct control *control, const struct pollfd *waits, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        struct client *client = control->clients[i];
        short ready = waits[FIXED_WAITS + i].revents;
        bool stays = is_done(client) || clock_ms() < client->limit_ms;
        if (stays && !client->silent && ready & (POLLIN | POLLHUP | POLLERR))
            stays = read_client(control, client);
        if (ready & (POLLHUP | POLLERR) && client->silent)
            stays = false; /* it is gone altogether: its place is free before another is let in */
        if (stays && client->answer && !is_done(client))
            stays = write_client(client);
        if (!stays)
            drop_client(control, i);
    }
}

/* Fills in what to wait for; until when, -1 for no limit, is returned. */
static int fill(const struct control *control, struct pollfd *waits)
{
    int64_t now = clock_ms(), left = control->crowded ? CROWDED_MS : LIMIT_MS;
    bool limited = control->crowded;
    waits[0] = (struct pollfd){.fd = control->wake, .events = POLLIN};
    waits[1] = (struct pollfd){.fd = control->crowded ? -1 : control->listener, .events = POLLIN};
    for (size_t i = 0; i < control->count; i++) {
        const struct client *client = control->clients[i];
        bool done = is_done(client);
        waits[FIXED_WAITS + i] = (struct pollfd){
            .fd = client->socket,
            .events = (short)((client->silent ? 0 : POLLIN) | (client->answer && !done ? POLLOUT : 0)),
        };
        if (done)
            continue;
        limited = true;
        if (client->limit_ms - now < left)
            left = client->limit_ms - now;
    }
    return !limited ? -1 : left > 0 ? (int)left : 0;
}

static void *watch(void *argument)
{
    struct control *control = argument;
    for (;;) {
        struct pollfd waits[FIXED_WAITS + CONTROL_CLIENTS_MAX];
        size_t count = control->count;
        int timeout_ms = fill(control, waits);
        if (poll(waits, FIXED_WAITS + count, timeout_ms) < 0 && errno != EINTR)
            return NULL;
        if (waits[0].revents != 0)
            return NULL;
        control->crowded = false;
        serve(control, waits, count);
        if (waits[1].revents != 0)
            take_client(control);
    }
}

/* ---- for callers ---- */

/* A socket at PATH/control. The path may be longer than an address of a socket: it is reached by a descriptor. */
static int listen_in(const char *path, struct muster_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int listener = folder >= 0 ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" RUN_CONTROL, folder);
    bool open = listener >= 0;
    if (open) {
        unlinkat(folder, RUN_CONTROL, 0);
        fchmod(listener, 0600); /* so it is from the first instant on */
        open = bind(listener, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
               listen(listener, CONTROL_CLIENTS_MAX) == 0;
    }
    int number = errno;
    if (folder >= 0)
        close(folder);
    if (open)
        return listener;
    if (listener >= 0)
        close(listener);
    errno = number;
    run_files_errno(error, path, "making its control socket");
    return -1;
}

enum muster_status control_open(const char *path, const struct control_calls *calls, struct control **control,
                                struct muster_error *error)
{
    struct control *made = calloc(1, sizeof(*made));
    *control = NULL;
    if (!made)
        return dataset_out_of_memory(error);
    made->calls = *calls;
    made->listener = listen_in(path, error);
    made->wake = made->listener >= 0 ? eventfd(0, EFD_CLOEXEC) : -1;
    if (made->wake >= 0 && thread_start(&made->thread, watch, made)) {
        *control = made;
        return MUSTER_OK;
    }
    bool listens = made->listener >= 0;
    if (made->wake >= 0)
        close(made->wake);
    if (listens)
        close(made->listener);
    free(made);
    return listens ? dataset_out_of_memory(error) : MUSTER_IO;
}

void control_free(struct control *control)
{
    if (!control)
        return;
    eventfd_write(control->wake, 1);
    pthread_join(control->thread, NULL);
    while (control->count > 0)
        drop_client(control, control->count - 1);
    close(control->listener);
    close(control->wake);
    free(control);
}
