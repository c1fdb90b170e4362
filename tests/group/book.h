/* The groups of a coordinator without the coordinator: what happens to them is a function call. */
#ifndef MUSTER_TESTS_BOOK_H
#define MUSTER_TESTS_BOOK_H

#include <criterion/criterion.h>

#include "group/coordinator_groups.h"

enum { BOOK_GROUPS = 3, BOOK_MEMBERS = 16, BOOK_LIMIT_MS = 1000 };

struct book {
    struct groups groups;
    size_t told;                         /* so many times something was told, */
    enum muster_member_state told_state; /* and what last */
    uint32_t told_rank;
    char told_name[32];
};

void book_init(struct book *book);

/* A process of that name in group "g", for `size` members, and in any group; its address is "at-NAME". */
struct registration process(const char *name, uint32_t size, uint64_t incarnation);

/* Claims and joins; `who` is what the incarnation is, as a pointer. */
enum muster_status book_claim(struct book *book, const struct registration *registration, int64_t now);
void book_enter(struct book *book, const struct registration *registration);
void book_leave(struct book *book, const struct registration *registration);
void book_finish(struct book *book, const struct registration *registration);
void *who_is(const struct registration *registration);

/* The newest group; its place of that name, which is there. */
struct group *book_group(struct book *book);
struct place *book_place(struct book *book, const char *name);

/* The names of the newest group by rank, with a comma behind each. */
const char *book_names(struct book *book);
/* The same of those that were dropped, which are forgotten. */
const char *book_dropped(struct book *book);

/* All that is always true. */
void book_check(struct book *book);

#endif
