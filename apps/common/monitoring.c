/* With or without lib/monitor. */
#include <config.h>

#include "monitoring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset.h"
#include "log.h"

#ifdef HAVE_MONITOR

struct monitoring {
    struct muster_monitor *monitor;
    char place[320];
};

static void copy_line(void *context, const char *text)
{
    muster_monitor_log(context, text);
}

static void warn(void *context, const char *text)
{
    (void)context;
    log_write(LOG_WARNING, "warning: %s", text);
}

static void name_place(struct monitoring *monitoring, const char *address, bool secure)
{
    unsigned port = muster_monitor_port(monitoring->monitor);
    snprintf(monitoring->place, sizeof(monitoring->place), "monitor at port %u: http%s://%.*s:%u/", port,
             secure ? "s" : "", (int)(strrchr(address, ':') - address), address, port);
}

enum muster_status monitoring_open(const char *address, const struct muster_credentials *credentials,
                                   struct monitoring **monitoring, struct muster_error *error)
{
    struct muster_monitor_options options;
    *monitoring = NULL;
    if (!address)
        return MUSTER_OK;
    struct monitoring *made = calloc(1, sizeof(*made));
    if (!made)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    muster_monitor_options_init(&options);
    options.listen = address;
    options.credentials = *credentials;
    options.anywhere = credentials->token_file != NULL;
    options.on_warning = warn;
    enum muster_status status = muster_monitor_start(&options, &made->monitor, error);
    if (status != MUSTER_OK) {
        free(made);
        /* What the library says of it is for programs: options of this one do not have that name. */
        return strstr(error->text, "`anywhere`") ? explain(error, status,
                                                           "--monitor %.120s: other machines reach that "
                                                           "address: set --token-file, too, or listen on "
                                                           "127.0.0.1",
                                                           address)
                                                 : status;
    }
    name_place(made, address, credentials->key != NULL);
    log_copy(copy_line, made->monitor);
    *monitoring = made;
    return MUSTER_OK;
}

void monitoring_close(struct monitoring *monitoring)
{
    if (!monitoring)
        return;
    log_copy(NULL, NULL);
    muster_monitor_free(monitoring->monitor);
    free(monitoring);
}

const char *monitoring_place(const struct monitoring *monitoring)
{
    return monitoring ? monitoring->place : NULL;
}

uint16_t monitoring_port(const struct monitoring *monitoring)
{
    return monitoring ? muster_monitor_port(monitoring->monitor) : 0;
}

static struct muster_monitor *monitor_of(struct monitoring *monitoring)
{
    return monitoring ? monitoring->monitor : NULL;
}

void monitoring_setting(struct monitoring *monitoring, const char *name, const char *text)
{
    muster_monitor_setting(monitor_of(monitoring), name, text);
}

void monitoring_scalar(struct monitoring *monitoring, uint64_t step, const char *name, double value)
{
    muster_monitor_scalar(monitor_of(monitoring), step, name, value);
}

void monitoring_histogram(struct monitoring *monitoring, const char *name,
                          const struct muster_histogram *histogram)
{
    muster_monitor_histogram(monitor_of(monitoring), name, histogram);
}

enum muster_status monitoring_add_manager(struct monitoring *monitoring, const char *name,
                                          struct participant_manager *manager, struct muster_error *error)
{
    return muster_monitor_add_manager(monitor_of(monitoring), name, manager, error);
}

void monitoring_remove_manager(struct monitoring *monitoring, struct participant_manager *manager)
{
    muster_monitor_remove_manager(monitor_of(monitoring), manager);
}

enum muster_status monitoring_add_group(struct monitoring *monitoring, const char *name,
                                        struct muster_group *group, struct muster_error *error)
{
    return muster_monitor_add_group(monitor_of(monitoring), name, group, error);
}

void monitoring_remove_group(struct monitoring *monitoring, struct muster_group *group)
{
    muster_monitor_remove_group(monitor_of(monitoring), group);
}

#else

enum muster_status monitoring_open(const char *address, const struct muster_credentials *credentials,
                                   struct monitoring **monitoring, struct muster_error *error)
{
    (void)address, (void)credentials, (void)error;
    *monitoring = NULL;
    return MUSTER_OK;
}

void monitoring_close(struct monitoring *monitoring)
{
    (void)monitoring;
}

const char *monitoring_place(const struct monitoring *monitoring)
{
    (void)monitoring;
    return NULL;
}

uint16_t monitoring_port(const struct monitoring *monitoring)
{
    (void)monitoring;
    return 0;
}

void monitoring_setting(struct monitoring *monitoring, const char *name, const char *text)
{
    (void)monitoring, (void)name, (void)text;
}

void monitoring_scalar(struct monitoring *monitoring, uint64_t step, const char *name, double value)
{
    (void)monitoring, (void)step, (void)name, (void)value;
}

void monitoring_histogram(struct monitoring *monitoring, const char *name,
                          const struct muster_histogram *histogram)
{
    (void)monitoring, (void)name, (void)histogram;
}

enum muster_status monitoring_add_manager(struct monitoring *monitoring, const char *name,
                                          struct participant_manager *manager, struct muster_error *error)
{
    (void)monitoring, (void)name, (void)manager, (void)error;
    return MUSTER_OK;
}

void monitoring_remove_manager(struct monitoring *monitoring, struct participant_manager *manager)
{
    (void)monitoring, (void)manager;
}

enum muster_status monitoring_add_group(struct monitoring *monitoring, const char *name,
                                        struct muster_group *group, struct muster_error *error)
{
    (void)monitoring, (void)name, (void)group, (void)error;
    return MUSTER_OK;
}

void monitoring_remove_group(struct monitoring *monitoring, struct muster_group *group)
{
    (void)monitoring, (void)group;
}

#endif
