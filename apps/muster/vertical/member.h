/* A member at work: a process of its own, or a thread of the master's. */
#ifndef MEMBER_H
#define MEMBER_H

#include <muster/muster.h>

#include "options.h"
#include "table.h"

struct member_options {
    struct shared_options shared;
    struct muster_credentials credentials;
    const char *connect; /* the master */
    const char *name;
    size_t rank; /* of the share of the columns */
};

extern const struct settings_kind member_kind;

struct member {
    const struct member_options *options;
    struct table table;
    struct muster_vertical_table view;
    struct muster_vertical_member *member;
    struct participant *participant;
};

/* Loads its records. On OK it is to be closed; otherwise *error says why not. */
enum muster_status member_load(struct member *member, const struct member_options *options,
                               struct muster_error *error);

/* Waits for the master to admit it. */
enum muster_status member_connect(struct member *member, struct muster_error *error);

/* Answers the master until that ends, and writes its weights. OK: the training is complete, or the inference was. */
enum muster_status member_work(struct member *member, struct muster_error *error);

void member_close(struct member *member);

/* A table of the library, whose ids are this one's. */
struct muster_vertical_table member_view(const struct table *table);

#endif
