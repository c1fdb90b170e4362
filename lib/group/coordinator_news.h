/* What a coordinator's on_event is to be told: written down under the coordinator's lock, and told without it. */
#ifndef MUSTER_GROUP_COORDINATOR_NEWS_H
#define MUSTER_GROUP_COORDINATOR_NEWS_H

#include "group/coordinator_groups.h"

/* Written by coordinator_news.c alone. */
struct news_list {
    struct news *first; /* the oldest */
    struct news **last;
};

void muster__news_init(struct news_list *list);

/* As `tell` of struct groups; the context is a list. What there is no memory for is not told. */
void muster__news_add(void *list, const struct group *group, uint32_t rank, enum muster_member_state state,
                      const char *text);

/* Empties the list, and returns what was in it. */
struct news *muster__news_take(struct news_list *list);

/* Tells them, and frees them; without the lock. */
void muster__news_tell(struct news *news, const struct muster_coordinator_options *options);
void muster__news_free(struct news *news);

#endif
