/* A member of the group at work. */
#include <config.h>

#include "node.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/log.h"
#include "common/monitoring.h"
#include "common/signals.h"

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ---- joining ---- */

/* On a network thread. In the first roster of all, which has epoch 1, everyone is there. */
static void on_event(void *context, const struct muster_group_event *event)
{
    struct node *node = context;
    const struct muster_member *member = &event->member;
    uint64_t first = atomic_load(&node->first_epoch);
    if (event->epoch == 1 || member->state == MUSTER_MEMBER_FINISHED)
        return;
    atomic_store(&node->whole, false);
    if (first != 0 && event->epoch > first)
        node_warn(node, "rank %u, %s, %s", (unsigned)member->rank, member->name,
                  member->state == MUSTER_MEMBER_LOST ? "is lost" : "is back");
}

static void on_warning(void *context, const char *text)
{
    node_warn(context, "%s", text);
}

static enum muster_status join(struct node *node, struct muster_error *error)
{
    const struct node_options *options = node->options;
    char name[256];
    struct muster_group_options group_options;
    muster_group_options_init(&group_options);
    group_options.group = options->group;
    group_options.members = (uint32_t)options->members;
    group_options.join_timeout_ms = options->wait_ms;
    group_options.listen = options->listen;
    group_options.advertise = options->advertise;
    group_options.credentials = options->credentials;
    group_options.grace_ms = options->grace_ms;
    group_options.on_event = on_event;
    group_options.on_warning = on_warning;
    group_options.context = node;
    if (options->name && options->threads > 1) {
        snprintf(name, sizeof(name), "%.200s-%02zu", options->name, node->number);
        group_options.name = name;
    } else
        group_options.name = options->name;
    return muster_group_join(options->coordinator, &group_options, &node->group, error);
}

static enum muster_status make_room(struct node *node, struct muster_error *error)
{
    size_t degree = muster_topology_degree(node->topology);
    node->in = calloc(degree + 1, sizeof(*node->in));
    node->out = calloc(degree + 1, sizeof(*node->out));
    node->kept = calloc(node->size, sizeof(*node->kept));
    if (!node->in || !node->out || !node->kept)
        return dataset_out_of_memory(error);
    return MUSTER_OK;
}

static enum muster_status open_metrics(struct node *node, struct muster_error *error)
{
    const char *directory = node->options->metrics;
    char *path;
    if (!directory)
        return MUSTER_OK;
    mkdir(directory, 0777);
    if (asprintf(&path, "%s/rank-%02u.csv", directory, (unsigned)node->rank) < 0)
        return dataset_out_of_memory(error);
    node->metrics = fopen(path, "we");
    enum muster_status status = MUSTER_OK;
    if (!node->metrics)
        status = explain(error, MUSTER_IO, "%.150s: %s", path, strerror(errno));
    free(path);
    return status;
}

enum muster_status node_begin(struct node *node, struct muster_error *error)
{
    atomic_store(&node->whole, true);
    enum muster_status status = join(node, error);
    if (status != MUSTER_OK)
        return status;
    node->rank = muster_group_rank(node->group);
    node->size = muster_group_size(node->group);
    atomic_store(&node->first_epoch, muster_group_epoch(node->group));
    node->came_back = atomic_load(&node->first_epoch) > 1;
    if (node->came_back)
        atomic_store(&node->whole, false);
    node->began = now();
    status = monitoring_add_group(node->monitoring, node->options->group, node->group, error);
    if (status == MUSTER_OK)
        status = node_options_topology(node->options, node->settings[node->rank].algorithm, &node->topology,
                                       error);
    if (status == MUSTER_OK)
        status = make_room(node, error);
    if (status == MUSTER_OK)
        status = open_metrics(node, error);
    return status;
}

void node_end(struct node *node)
{
    if (node->group)
        monitoring_remove_group(node->monitoring, node->group);
    muster_group_free(node->group);
    muster_topology_free(node->topology);
    for (uint32_t rank = 0; node->kept && rank < node->size; rank++)
        muster_message_clear(&node->kept[rank]);
    free(node->in);
    free(node->out);
    free(node->kept);
    if (node->metrics)
        fclose(node->metrics);
}

enum muster_status node_look_round(struct node *node, uint64_t step, struct muster_error *error)
{
    enum muster_status status =
        muster_topology_in(node->topology, node->rank, step, node->in, &node->in_count, &node->own, error);
    if (status == MUSTER_OK)
        status = muster_topology_out(node->topology, node->rank, step, node->out, &node->out_count, error);
    return status;
}

/* ---- telling ---- */

void node_tell(const struct node *node, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (node->rank != 0) {
        log_write(node->options->threads > 1 ? LOG_DEBUG : LOG_INFO, "rank %u: %s", (unsigned)node->rank,
                  line);
        return;
    }
    printf("%s\n", line);
    fflush(stdout);
}

void node_warn(const struct node *node, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (signals_caught() != 0)
        return;                               /* this end is wanted */
    if (atomic_load(&node->first_epoch) == 0) /* it has no rank yet */
        log_write(LOG_WARNING, "%s", line);
    else
        log_write(LOG_WARNING, "rank %u: %s", (unsigned)node->rank, line);
}

void node_write_metrics(const struct node *node, const char *line)
{
    if (!node->metrics)
        return;
    fputs(line, node->metrics);
    fflush(node->metrics);
}

double node_seconds(const struct node *node)
{
    return now() - node->began;
}

struct muster_traffic node_traffic(const struct node *node)
{
    struct muster_group_statistics statistics;
    muster_group_get_statistics(node->group, &statistics);
    return statistics.traffic;
}

/* ---- together ---- */

enum muster_status node_reduce(struct node *node, enum muster_reduction reduction, double weight,
                               const struct muster_array *arrays, size_t count, struct muster_error *error)
{
    if (!atomic_load(&node->whole))
        return explain(error, MUSTER_GONE, "a member was lost, and the others cannot do this without it");
    enum muster_status status = muster_group_all_reduce(node->group, reduction, weight, arrays, count,
                                                        node->options->patience_ms, error);
    if (status != MUSTER_OK)
        atomic_store(&node->whole, false);
    return status;
}
