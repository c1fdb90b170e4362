/* The control socket of a run: how other shells ask a launcher what it does, and have it stop.
 *
 * A client sends one line of JSON, of at most 4 KiB, and gets one:
 * - {"do":"status"}: what control_calls.status() returns;
 * - {"do":"stop"}: {"ok":true}, and the connection stays open until control_free();
 * - {"do":"follow"}: the same without the stop;
 * - anything else, and one wait too many: {"error":TEXT}.
 * Who has said all may close that side of the connection. */
#ifndef CONTROL_H
#define CONTROL_H

#include <stddef.h>

#include <jansson.h>

#include <muster/muster.h>

struct control;

struct control_calls {
    void *context;
    json_t *(*status)(void *context); /* a new object; NULL when out of memory */
    void (*stop)(void *context);      /* may come several times */
};

/* How many connections there are at most; those that only stay open take up to so many of them. */
enum { CONTROL_CLIENTS_MAX = 64, CONTROL_WAITING_MAX = 48 };

/* Listens at PATH/control, in place of what is there, on a thread of its own, from which the calls come. Only this user,
 * and root, may connect. One that says nothing for 10 s, or takes no answer, is closed; it is closed before that when somebody
 * else comes and all places are taken. IO, OUT_OF_MEMORY. */
enum muster_status control_open(const char *path, const struct control_calls *calls, struct control **control,
                                struct muster_error *error);
/* Ends all connections; the socket's file stays, for run_directory_free(). NULL is allowed. When it returns no call
 * runs. */
void control_free(struct control *control);

#endif
