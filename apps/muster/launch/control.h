/* The control socket of a run: how other shells ask a launcher what it does, and have it stop. */
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

/* Listens at PATH/control, on a thread of its own, from which the calls come. Only this user may connect. At most 32 at a
 * time are served, each one line of at most 4 KiB; all of them are closed when the control is freed. IO. */
enum muster_status control_open(const char *path, const struct control_calls *calls, struct control **control,
                                struct muster_error *error);
/* NULL is allowed. When it returns no call runs. */
void control_free(struct control *control);

#endif
