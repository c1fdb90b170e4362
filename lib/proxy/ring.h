/* Doubly linked lists, as rings: the list's own head points at itself when empty. */
#ifndef MUSTER_PROXY_RING_H
#define MUSTER_PROXY_RING_H

#include <stdbool.h>

struct link {
    struct link *next;
    struct link *previous;
};

static inline void ring_init(struct link *head)
{
    head->next = head->previous = head;
}

static inline bool ring_is_empty(const struct link *head)
{
    return head->next == head;
}

static inline void ring_append(struct link *head, struct link *link)
{
    link->next = head;
    link->previous = head->previous;
    head->previous->next = link;
    head->previous = link;
}

/* Leaves the link alone in a ring of its own, so that removing it again does nothing. */
static inline void ring_remove(struct link *link)
{
    link->next->previous = link->previous;
    link->previous->next = link->next;
    ring_init(link);
}

#endif
