/* The plays: what is said to whom, in which order. */
#ifndef SCENES_H
#define SCENES_H

#include "conformance/guest.h"

/* The participant has arrived, with its first message: all that there is to see of it. */
void scenes_full(struct guest *guest);
void scenes_original(struct guest *guest);

/* scenes_chunks.c: arrays in chunks both ways, in an open stream; and heartbeats, while an answer waits. */
void scenes_chunks(struct guest *guest);

/* What both have. reconnect_in: whether it has come back. */
bool scene_reconnect(struct guest *guest);
void scene_good_bye(struct guest *guest);
/* An instruction with fields of a later release. */
bool scene_new_fields(struct guest *guest);

/* A server. */
void scenes_server(struct checks *checks, struct inbox *inbox, const struct play_options *options,
                   const struct connection_options *connection);

#endif
