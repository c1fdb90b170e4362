/* Each task has its names, in the order of the page. */
#include <config.h>

#include "orders.h"

#include <math.h>
#include <string.h>

#include "places.h"

static void add_text(struct order_message *written, const char *name, const char *text)
{
    written->values[written->message.value_count++] =
        (struct muster_value){.name = name, .kind = MUSTER_VALUE_TEXT, .text = text};
}

static void add_integer(struct order_message *written, const char *name, uint64_t integer)
{
    written->values[written->message.value_count++] =
        (struct muster_value){.name = name, .kind = MUSTER_VALUE_INTEGER, .integer = (int64_t)integer};
}

static void add_bool(struct order_message *written, const char *name, bool boolean)
{
    written->values[written->message.value_count++] =
        (struct muster_value){.name = name, .kind = MUSTER_VALUE_BOOL, .boolean = boolean};
}

static void add_store(struct order_message *written, const struct order *order)
{
    add_text(written, "task", "store");
    add_integer(written, "epoch", order->epoch);
    add_text(written, "address", order->address);
    add_integer(written, "world_size", order->world_size);
}

static void add_begin(struct order_message *written, const struct order *order)
{
    add_text(written, "task", "begin");
    add_integer(written, "epoch", order->epoch);
    add_integer(written, "rank", order->rank);
    add_integer(written, "world_size", order->world_size);
    add_integer(written, "local_rank", order->local_rank);
    add_integer(written, "local_world_size", order->local_world_size);
    add_text(written, "master_addr", order->address);
    add_integer(written, "master_port", order->port);
    add_integer(written, "restart_count", order->restarts);
    add_text(written, "backend", order->backend);
    add_integer(written, "checkpoint", order->checkpoint);
    add_integer(written, "checkpoint_every", order->checkpoint_every);
}

static void add_steps(struct order_message *written, const struct order *order)
{
    add_text(written, "task", "steps");
    add_integer(written, "epoch", order->epoch);
    add_integer(written, "from", order->from);
    add_integer(written, "until", order->until);
    add_integer(written, "checkpoint", order->checkpoint);
}

static void add_end(struct order_message *written, const struct order *order)
{
    add_text(written, "task", "end");
    add_bool(written, "finished", order->finished);
    add_integer(written, "iteration", order->checkpoint);
    add_integer(written, "restarts", order->restarts);
    add_text(written, "text", order->text);
    written->loss = (struct muster_scalar){"loss", order->loss};
    written->message.scalars = &written->loss;
    if (!isnan(order->loss))
        written->message.scalar_count = 1;
}

void order_write(const struct order *order, struct order_message *written)
{
    written->message = (struct muster_message){.kind = MUSTER_TRAIN, .values = written->values};
    switch (order->task) {
    case TASK_NONE:
        break;
    case TASK_WAIT:
        add_text(written, "task", "wait");
        add_text(written, "text", order->text);
        break;
    case TASK_STORE:
        add_store(written, order);
        break;
    case TASK_BEGIN:
        add_begin(written, order);
        break;
    case TASK_STEPS:
        add_steps(written, order);
        break;
    case TASK_END:
        add_end(written, order);
        break;
    }
}

/* A name or an address of a host: no blanks, nothing that commands a terminal, and not too long. */
static const char *host_or_null(const char *text)
{
    char shown[WORKER_TEXT_SIZE];
    if (!text || *text == '\0' || strlen(text) >= sizeof(shown) || strpbrk(text, " \t"))
        return NULL;
    return strcmp(muster_text_harmless(text, shown, sizeof(shown)), text) == 0 ? text : NULL;
}

void reply_read(const struct muster_message *message, struct reply *reply)
{
    *reply = (struct reply){
        .port = muster_message_integer(message, "port", 0),
        .address = host_or_null(muster_message_text(message, "address", NULL)),
        .iteration = muster_message_integer(message, "iteration", -1),
        .enters = muster_message_integer(message, "enters", -1),
        .loss = muster_message_scalar(message, "loss", (double)NAN),
        .samples_per_second = muster_message_scalar(message, "samples_per_second", (double)NAN),
        .diverged = isnan(muster_message_scalar(message, "loss", 0)),
        .finished = muster_message_bool(message, "finished", false),
    };
}
