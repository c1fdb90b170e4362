/* A member at work. */
#include <config.h>

#include "member.h"

#include <stdlib.h>

#include "common/log.h"

struct muster_vertical_table member_view(const struct table *table)
{
    return (struct muster_vertical_table){
        .rows = table->rows,
        .columns = table->columns,
        .ids = (const char *const *)table->ids,
        .values = table->values,
        .names = (const char *const *)table->names,
    };
}

static void warn(void *context, const char *text)
{
    const struct member *member = context;
    log_write(LOG_WARNING, "%s: %s", member->options->name, text);
}

static enum muster_status make_member(struct member *member, struct muster_error *error)
{
    const struct shared_options *shared = &member->options->shared;
    struct muster_vertical_member_options options;
    char *run = NULL, *weights = NULL;
    enum muster_status status = shared_path(shared->run, member->options->name, "", true, &run, error);
    if (status == MUSTER_OK) /* whether they can be written shows now, not after hours of training */
        status = shared_path(shared->weights, member->options->name, ".npz", !shared->infer, &weights, error);
    muster_vertical_member_options_init(&options);
    options.left = shared->left;
    options.only_private = shared->only_private;
    options.match_limit = shared->match_limit;
    options.run = run;
    options.weights = shared->infer ? weights : NULL;
    options.on_warning = warn;
    options.context = member;
    if (status == MUSTER_OK)
        status = muster_vertical_member_new(&member->view, &options, &member->member, error);
    free(run);
    free(weights);
    return status;
}

enum muster_status member_load(struct member *member, const struct member_options *options,
                               struct muster_error *error)
{
    *member = (struct member){.options = options};
    const struct table_options data = shared_table(&options->shared, TABLE_FEATURES);
    enum muster_status status = table_load(&data, &member->table, error);
    member->view = member_view(&member->table);
    if (status == MUSTER_OK)
        status = make_member(member, error);
    if (status != MUSTER_OK)
        member_close(member);
    return status;
}

enum muster_status member_connect(struct member *member, struct muster_error *error)
{
    const struct member_options *options = member->options;
    struct participant_options participant;
    participant_options_init(&participant);
    participant.name = options->name;
    participant.credentials = options->credentials;
    participant.connect_timeout_ms = options->shared.rendezvous_ms;
    participant.reconnect_timeout_ms = options->shared.recv_ms;
    participant.max_message_size = (size_t)options->shared.max_message_size;
    participant.name_timeout_ms = options->shared.recv_ms;
    participant.on_warning = warn;
    participant.context = member;
    enum muster_status status =
        participant_connect(options->connect, &participant, &member->participant, error);
    if (status == MUSTER_OK)
        log_write(LOG_INFO, "%s: connected to %s with %zu columns of %zu records", options->name,
                  options->connect, member->table.columns, member->table.rows);
    return status;
}

static enum muster_status save(const struct member *member, struct muster_error *error)
{
    char *path;
    enum muster_status status =
        shared_path(member->options->shared.weights, member->options->name, ".npz", true, &path, error);
    if (status == MUSTER_OK && path)
        status = muster_vertical_member_save(member->member, path, error);
    free(path);
    return status;
}

enum muster_status member_work(struct member *member, struct muster_error *error)
{
    const struct muster_message *instruction;
    enum muster_status status, answered = MUSTER_OK;
    struct muster_error reason;
    while ((status = participant_consume(member->participant, MUSTER_NO_LIMIT, &instruction, error)) ==
           MUSTER_OK) {
        answered = muster_vertical_member_answer(member->member, member->participant, instruction, &reason);
        if (answered != MUSTER_OK)
            log_write(LOG_WARNING, "%s: %s", member->options->name, reason.text);
    }
    if (muster_vertical_member_finished(member->member))
        return member->options->shared.infer ? MUSTER_OK : save(member, error);
    if (member->options->shared.infer && status == MUSTER_STOPPED && answered != MUSTER_OK) {
        *error = reason;
        return answered;
    }
    return status;
}

void member_close(struct member *member)
{
    participant_free(member->participant);
    muster_vertical_member_free(member->member);
    table_free(&member->table);
}
