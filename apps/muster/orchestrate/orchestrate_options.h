/* The settings of an orchestrator. */
#ifndef ORCHESTRATE_OPTIONS_H
#define ORCHESTRATE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "common/log.h"
#include "settings/kind.h"

struct orchestrate_options {
    struct muster_credentials credentials;
    struct log_options log;
    const char *listen;
    const char *port_file;
    const char *file; /* NULL: none */
    const char *monitor;
    size_t workers;
    size_t least; /* 0: not set */
    bool elastic;
    size_t restarts;
    size_t attempts;
    int64_t wait_ms, form_ms, leave_ms, heartbeat_ms, patience_ms, straggler_ms, stall_ms, stop_within_ms;
    uint64_t checkpoint_every, iterations;
    const char *backend;        /* NULL: what all can use */
    const char *const *command; /* not by a name: what stands behind --; NULL: none */
    struct kept_text *texts;
};

extern const struct settings_kind orchestrate_kind;

#endif
