/* What a coordinator's on_event is to be told: a list of events, each with its texts. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "callback.h"
#include "group/coordinator_news.h"

struct news {
    struct news *next;
    struct muster_coordinator_event event;
    char texts[];
};

void muster__news_init(struct news_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

void muster__news_add(void *context, const struct group *group, uint32_t rank, enum muster_member_state state,
                      const char *text)
{
    struct news_list *list = context;
    const struct place *place = group->places[rank];
    const char *texts[] = {group->name, place->name, place->address, text};
    size_t sizes[4], size = 0;
    for (size_t i = 0; i < 4; i++)
        size += sizes[i] = strlen(texts[i]) + 1;
    struct news *news = malloc(sizeof(*news) + size);
    if (!news)
        return;
    char *at = news->texts;
    for (size_t i = 0; i < 4; i++) {
        memcpy(at, texts[i], sizes[i]);
        texts[i] = at;
        at += sizes[i];
    }
    news->next = NULL;
    news->event = (struct muster_coordinator_event){
        .group = texts[0],
        .epoch = group->epoch,
        .member = {rank, state, texts[1], texts[2], place->incarnation},
        .text = texts[3],
    };
    *list->last = news;
    list->last = &news->next;
}

struct news *muster__news_take(struct news_list *list)
{
    struct news *news = list->first;
    muster__news_init(list);
    return news;
}

void muster__news_tell(struct news *news, const struct muster_coordinator_options *options)
{
    while (news) {
        struct news *next = news->next;
        bool outer = muster__callback_begin();
        options->on_event(options->context, &news->event);
        muster__callback_end(outer);
        free(news);
        news = next;
    }
}

void muster__news_free(struct news *news)
{
    while (news) {
        struct news *next = news->next;
        free(news);
        news = next;
    }
}
