/* The window: how far ahead of what has arrived of an answer its participant may send. Its owner has a
   lock. */
#ifndef MUSTER_LINK_WINDOW_H
#define MUSTER_LINK_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct window {
    int64_t greeted_at;
    uint64_t limit; /* bytes of the answer that it has been told of */
    uint64_t mark;  /* the limit before: what comes behind it follows our last word */
    bool is_dry;    /* all that comes before the mark has come, the last chunk so long after the one before */
    int64_t pace_ms;
    int64_t heard_at; /* when the last chunk came */
    int64_t lost_ms;  /* by late words, less what those in time have made up for */
};

/* Welcome is sent, and the participant's next word has come. */
void muster__window_greet(struct window *window, int64_t now);
void muster__window_reply(struct window *window, int64_t now);

/* For an answer from its first byte on; returns the limit to tell the participant. */
uint64_t muster__window_open(struct window *window);

/* So much of the answer has been received. True: the limit has moved, and the participant is to be told. */
bool muster__window_move(struct window *window, uint64_t received, uint64_t total, int64_t now);

#endif
