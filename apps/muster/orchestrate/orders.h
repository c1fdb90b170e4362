/* Orders and replies as messages: docs/orchestrate.md lists their names. */
#ifndef ORCHESTRATE_ORDERS_H
#define ORCHESTRATE_ORDERS_H

#include <muster/muster.h>

#include "machine.h"

enum { ORDER_VALUES_MAX = 16 };

/* An order's message, which points into both. */
struct order_message {
    struct muster_value values[ORDER_VALUES_MAX];
    struct muster_scalar loss;
    struct muster_message message;
};

void order_write(const struct order *order, struct order_message *written);

/* Reads an answer or a report; what it lacks is as struct reply says. Its address is that of the message, and NULL when it is
 * none that could be shown. */
void reply_read(const struct muster_message *message, struct reply *reply);

#endif
