/* The demo's participants, each a process of this machine. */
#ifndef LAUNCH_H
#define LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "common/dataset.h"

/* Which participants there are, and what they are told. */
struct launch_options {
    const struct dataset_options *data;
    const char *token_file; /* NULL: none */
    const char *logs;       /* a directory for what they log; NULL: nowhere */
    size_t count;           /* those of users 0 to count - 1 */
    bool everyone;          /* there are no others */
    size_t attackers;       /* the last so many of them send noise */
    double noise;           /* so many times as big as the update */
};

/* Participants that run. */
struct launch;

/* Starts them; they connect to where a server listens that was told to listen on `listen`, HOST:PORT, and has
 * got `port`. One that ends otherwise than well is told of in the log, with the last line that it wrote; when
 * everyone has, this process gets a SIGTERM. On OK *launch is to be ended, otherwise *error says why not, and
 * none is left. */
enum muster_status launch_start(const struct launch_options *options, const char *listen, uint16_t port,
                                struct launch **launch, struct muster_error *error);

/* Ends those that are left, and frees all; `well`: they have heard good-bye, and get some time to end by
 * themselves. NULL is allowed. */
void launch_end(struct launch *launch, bool well);

#endif
