/* The settings of a member: their table and defaults, and what goes together. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "common/arguments.h"
#include "member.h"
#include "settings/rows.h"

#define FIELD(name) offsetof(struct member_options, name)

_Static_assert(offsetof(struct member_options, shared) == 0, "rows of shared options are for the beginning");

enum { GROUP_MEMBER = 1, NO_RANK = 10000 };

static const char *const headers[] = {
    [GROUP_MEMBER] = "Member:",
    [SHARED_GROUP] = "As the master's:",
};

static const struct setting table[] = {
    TEXT("connect", "connect", "ADDRESS", GROUP_MEMBER, connect, false,
         "The master: HOST:PORT (default 127.0.0.1:8080), or mpi:0/vertical"),
    WHOLE("rank", "rank", "K", GROUP_MEMBER, rank, 0, NO_RANK - 1, true,
          "Take the share K, from 0, of the columns of features, which are cut into as many as there are "
          "--members "
          "(default: all columns)"),
    TEXT("name", "name", "NAME", GROUP_MEMBER, name, false,
         "Its name, under which it may come back (default member-K, without --rank member)"),
};

enum { ROWS = sizeof(table) / sizeof(*table) };

static const struct setting *row(size_t index)
{
    return index < ROWS ? &table[index] : shared_options_row(index - ROWS);
}

static void init(void *made)
{
    struct member_options *options = made;
    *options = (struct member_options){
        .shared = shared_options_init(), .connect = "127.0.0.1:8080", .rank = NO_RANK};
}

static enum muster_status name_it(struct member_options *options, struct muster_error *error)
{
    char name[32];
    snprintf(name, sizeof(name), options->rank < NO_RANK ? "member-%zu" : "member", options->rank);
    if (!options->name)
        options->name = kind_keep(&member_kind, options, name);
    return options->name ? MUSTER_OK : table_out_of_memory(error);
}

static enum muster_status check(void *checked, struct muster_error *error)
{
    struct member_options *options = checked;
    struct table_options *data = &options->shared.data;
    data->members = options->rank < NO_RANK ? options->shared.members : 0;
    data->member = options->rank < NO_RANK ? options->rank : 0;
    if (options->rank < NO_RANK && options->rank >= options->shared.members)
        return table_refuse(error, MUSTER_INVALID, "rank %zu: expected less than members %zu (--members)",
                            options->rank, options->shared.members);
    enum muster_status status = name_it(options, error);
    if (status != MUSTER_OK)
        return status;
    if (options->name[0] == '.' || strchr(options->name, '/') || strcmp(options->name, "master") == 0)
        return table_refuse(
            error, MUSTER_INVALID,
            "name %.80s: files are called after it: it cannot begin with a dot, have a slash, or "
            "be master",
            options->name);
    return shared_options_check(&options->shared, error);
}

const struct settings_kind member_kind = {
    .section = "members",
    .program = "muster vertical member",
    .size = sizeof(struct member_options),
    .texts = offsetof(struct member_options, shared.texts),
    .row = row,
    .init = init,
    .check = check,
    .headers = headers,
    .groups = SHARED_GROUP,
    .set_group = GROUP_MEMBER,
    .set_help = "Set what an option says by its name, with _ for -, as in --set match_limit=20",
    .security = &participant_security_arguments,
    .credentials = offsetof(struct member_options, credentials),
    .log = offsetof(struct member_options, shared.log),
};
