/*
 * The monitor: what a person or a scraper sees of a running process, over HTTP. It serves, to GET only,
 * - /metrics: Prometheus' text format, or OpenMetrics for who asks for it;
 * - /api/state: everything as JSON; /api/events: the log as server-sent events;
 * - /healthz: "ok";
 * - /: a live page, which needs nothing from elsewhere.
 *
 * It is there if the library was configured --with-monitor.
 */
#ifndef MUSTER_MONITOR_H
#define MUSTER_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/credentials.h>
#include <muster/export.h>
#include <muster/group.h>
#include <muster/participant.h>
#include <muster/participant_manager.h>
#include <muster/statistics.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

struct muster_monitor;

/** muster_monitor_start() copies the options and their strings. Fill them in with
 * muster_monitor_options_init() first. Later releases add fields at the end only. */
struct muster_monitor_options {
    /** The size of this struct; set by muster_monitor_options_init(). */
    size_t size;
    /** Address to listen on, "host:port" or "[v6]:port"; port 0 takes a free one. */
    const char *listen;
    /**
     * Of the files only these are used, and read once:
     * - `token_file`: who asks shows the token, as `Authorization: Bearer ...`, or as the password of Basic
     *   authentication, with any user name. Only /healthz is for everybody.
     * - `certificate` and `key`: the monitor speaks HTTPS.
     * Browsers show no certificate: `ca` does not count.
     */
    struct muster_credentials credentials;
    /** Whether `listen` may be an address that other machines reach. */
    bool anywhere;
    /** Whether /metrics has series for each participant, and for how many of them at most. Participants that
       are silent or away come first, then those of the lowest ranks. The same holds for the peers in groups: those that are
       lost or waited for come first. */
    bool participant_series;
    size_t max_participant_series;
    /** Connections at one time, at least 2. Others wait until one is free. Half of them at most are streams
       of /api/events. A connection that does not send its request within 15 s, or take its
       reply within 30 s, is cut. */
    size_t max_connections;
    /** Names by which browsers reach the monitor, beside localhost, the host in `listen` and IP addresses.
       Requests for other hosts are refused: somebody's page may have made a browser believe that its name is
       this machine's. */
    const char *const *hosts;
    size_t host_count;
    /** Receives warnings for the operator, with `context`, from muster_monitor_start(). NULL: no warnings. */
    void (*on_warning)(void *context, const char *text);
    void *context;
};

/** muster_monitor_options_init() calls this with the size of the struct in the caller's header. */
MUSTER_API void muster_monitor_options_init_sized(struct muster_monitor_options *options, size_t size);

/** Fills in the defaults: 127.0.0.1:8081; no credentials; series for at most 1000 participants; 64
 * connections; warnings to standard error. Any thread. */
static inline void muster_monitor_options_init(struct muster_monitor_options *options)
{
    muster_monitor_options_init_sized(options, sizeof(*options));
}

/**
 * Starts to listen, with threads of its own. `options` NULL means the defaults. On MUSTER_OK the caller owns
 * *monitor and frees it with muster_monitor_free(). Otherwise it is NULL and *error (may be NULL) says why:
 * - EXISTS: the address is in use;
 * - INVALID: an option is out of range; the address is not valid, or is for other machines, and `anywhere` is
 *   false; the certificate and its key are not valid or do not go together;
 * - IO, FORMAT: a file of the credentials cannot be read, or holds something else;
 * - UNSUPPORTED: libmicrohttpd was built without TLS;
 * - OUT_OF_MEMORY.
 * Any thread. A program that forks starts the monitor after the fork.
 */
MUSTER_API enum muster_status muster_monitor_start(const struct muster_monitor_options *options,
                                                   struct muster_monitor **monitor,
                                                   struct muster_error *error);

/** The port that the monitor listens on. Any thread. */
MUSTER_API uint16_t muster_monitor_port(const struct muster_monitor *monitor);

/* In all functions below `monitor` may be NULL: they do nothing then, and return OK. */

/**
 * Shows a participant manager, under a name that no other manager has here (NULL: "server"), and logs its
 * events. Call muster_monitor_remove_manager() before participant_manager_free(). The monitor's thread holds
 * references to proxies while it looks, and so may be the one that calls the factory's `destroy`.
 *
 * EXISTS, INVALID (an empty name, one that is not UTF-8, or one of more than 128 bytes) or OUT_OF_MEMORY, with
 * *error (may be NULL): it is not shown. Any thread; does not wait for the network.
 */
MUSTER_API enum muster_status muster_monitor_add_manager(struct muster_monitor *monitor, const char *name,
                                                         struct participant_manager *manager,
                                                         struct muster_error *error);

/** Shows the manager no longer, and waits until the monitor has let go of it, so that it can be freed. Does
 * nothing if it is not shown. Any thread, but not in a callback. */
MUSTER_API void muster_monitor_remove_manager(struct muster_monitor *monitor,
                                              struct participant_manager *manager);

/** Shows a participant of this process, under its name. As muster_monitor_add_manager(), with
 * muster_monitor_remove_participant() and participant_free(). */
MUSTER_API enum muster_status muster_monitor_add_participant(struct muster_monitor *monitor,
                                                             struct participant *participant,
                                                             struct muster_error *error);

/** As muster_monitor_remove_manager(). */
MUSTER_API void muster_monitor_remove_participant(struct muster_monitor *monitor,
                                                  struct participant *participant);

/**
 * Shows a group as a member of this process sees it, and logs its changes. The name (NULL: "group") is the group's: members
 * under one name are of one group, and are shown as one. Call muster_monitor_remove_group() before muster_group_free().
 * Errors as of muster_monitor_add_manager(); EXISTS: this member is shown, or another of its rank under that name. Any
 * thread; does not wait for the network.
 */
MUSTER_API enum muster_status muster_monitor_add_group(struct muster_monitor *monitor, const char *name,
                                                       struct muster_group *group,
                                                       struct muster_error *error);

/** As muster_monitor_remove_manager(). */
MUSTER_API void muster_monitor_remove_group(struct muster_monitor *monitor, struct muster_group *group);

/**
 * Adds a point to the curve `name`: a loss by round, for example. A curve keeps at most 512 points: when they
 * are too many, every second one is left out, and from then on only every second one is taken; the last one
 * is always there. There are 64 curves at most. What is beyond that, or has no memory, is left out. Any
 * thread; does not block.
 */
MUSTER_API void muster_monitor_scalar(struct muster_monitor *monitor, uint64_t step, const char *name,
                                      double value);

/** Has /metrics tell how long things took so far, as muster_histogram{name="..."}; the same name again
 * replaces what was counted. At most 16 histograms. Any thread; does not block. */
MUSTER_API void muster_monitor_histogram(struct muster_monitor *monitor, const char *name,
                                         const struct muster_histogram *histogram);

/** Shows a setting of the configuration; the same name again replaces its text. At most 256 settings of 1023
 * bytes each. Any thread; does not block. */
MUSTER_API void muster_monitor_setting(struct muster_monitor *monitor, const char *name, const char *text);

/** Adds a line to the log, which keeps the last 512 lines of at most 511 bytes. It is made safe to print (see
 * muster_text_harmless()). Any thread; does not block. */
MUSTER_API void muster_monitor_log(struct muster_monitor *monitor, const char *text);

/** Ends all connections and waits for the monitor's threads. What is shown stays until it is removed.
 * Idempotent; any thread, but not in a callback. */
MUSTER_API void muster_monitor_stop(struct muster_monitor *monitor);

/** Stops, removes all that is shown, and frees the monitor. No other function may be running on it. Not in a
 * callback. */
MUSTER_API void muster_monitor_free(struct muster_monitor *monitor);

MUSTER_END_DECLS

#endif
