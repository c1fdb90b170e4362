/* What holds of all links of a member: what peers may have it keep is within its budget, and counted right. */
#include <config.h>

#include "fuzz/links.h"

enum { OFFERS_MOST = 65536, FETCHES_MOST = 64 };

static void check_arrivals(const struct link *link)
{
    const struct muster_group *group = link->group;
    const struct outbox *outbox = &link->outbox;
    uint64_t offers = 0, charged = 0, left = 0;
    for (const struct arrival *arrival = group->inbox.arrivals; arrival; arrival = arrival->next) {
        CHECK(muster__tag_is_valid(arrival->tag));
        CHECK(!arrival->bound || (arrival->offer && arrival->bound->arrival == arrival));
        CHECK(!arrival->charge || arrival->charge >= muster__message_charge(&arrival->message));
        if (arrival->from != link->rank)
            continue;
        offers += arrival->offer ? 1 : 0;
        *(arrival->old ? &left : &charged) += arrival->charge;
    }
    CHECK(offers == link->open_offers && offers <= OFFERS_MOST);
    CHECK(charged == outbox->own_charged - outbox->own_taken && left == outbox->own_leftover);
    CHECK(charged + left <= group->options.eager_budget / (group->size - 1));
}

static void check_outbox(const struct link *link)
{
    const struct outbox *outbox = &link->outbox;
    CHECK(muster__outbox_states(outbox) + link->served.count + outbox->unmet.count <= FETCHES_MOST);
    CHECK(outbox->wants.count <= OFFERS_MOST);
}

void links_check(const struct muster_group *group)
{
    for (uint32_t rank = 0; rank < group->size; rank++) {
        if (rank == group->rank)
            continue;
        check_arrivals(&group->links[rank]);
        check_outbox(&group->links[rank]);
    }
}
