/* What the monitor of a run's server says of participants, for `muster status`. */
#ifndef MONITOR_CLIENT_H
#define MONITOR_CLIENT_H

#include <jansson.h>

/* Gets the state from HOST:PORT, within 5 s: an object to be freed, or NULL. `credentials` is what the experiment says of
 * them, or NULL: a token and TLS are used as the monitor wants them. Their paths are as seen from `directory`; NULL: from
 * here. */
json_t *monitor_client_get(const char *address, const json_t *credentials, const char *directory);

/* What a participant of this name does, such as "connected for 3 s, works on an instruction, 40 %"; `text` is returned, and is "" when the monitor does
 * not know it. */
const char *monitor_client_describe(const json_t *state, const char *name, char *text, size_t size);

#endif
