/* What a member knows of its group. */
#include <config.h>

#include "state.h"

#include <stdlib.h>

#include "common/units.h"

/* Of each sort, so many lines at most for a member. */
enum { LINES_MAX = 100 };

static void write_traffic(FILE *out, const struct muster_traffic *traffic)
{
    char sent[UNITS_SIZE], received[UNITS_SIZE];
    fprintf(out, "sent %s, received %s\n", units_bytes((double)traffic->bytes_sent, sent),
            units_bytes((double)traffic->bytes_received, received));
}

static void write_group(FILE *out, struct muster_group *group)
{
    struct muster_group_statistics statistics;
    char bytes[UNITS_SIZE], budget[UNITS_SIZE];
    muster_group_get_statistics(group, &statistics);
    fprintf(out,
            "rank %u: epoch %llu, %u of %u members present, %u lost, %u finished; %u links, %llu waits; ",
            (unsigned)statistics.rank, (unsigned long long)statistics.epoch, (unsigned)statistics.present,
            (unsigned)statistics.members, (unsigned)statistics.lost, (unsigned)statistics.finished,
            (unsigned)statistics.links, (unsigned long long)statistics.waits);
    if (statistics.published)
        fprintf(out, "version %llu published; ", (unsigned long long)statistics.version);
    fprintf(out, "%s of %s hold what was not received; ", units_bytes((double)statistics.eager_bytes, bytes),
            units_bytes((double)statistics.eager_budget, budget));
    write_traffic(out, &statistics.traffic);
}

static void write_waits(FILE *out, struct muster_group *group, const struct muster_group_peer *peers)
{
    struct muster_group_wait waits[LINES_MAX];
    char waiting[UNITS_SIZE], left[UNITS_SIZE];
    size_t count = muster_group_get_waits(group, waits, LINES_MAX, sizeof(*waits));
    for (size_t i = 0; i < count && i < LINES_MAX; i++) {
        const struct muster_group_wait *wait = &waits[i];
        fprintf(out, "rank %u waits for ", (unsigned)muster_group_rank(group));
        if (wait->rank == MUSTER_ANY_RANK)
            fputs("anybody", out);
        else
            fprintf(out, "rank %u, %s (%s)", (unsigned)wait->rank, peers[wait->rank].name,
                    muster_member_state_name(peers[wait->rank].state));
        fprintf(out, ": %s for %s, left: %s\n", muster_group_call_name(wait->call),
                units_time(wait->waiting_ms, waiting), units_time(wait->left_ms, left));
    }
}

static void write_links(FILE *out, struct muster_group *group, const struct muster_group_peer *peers)
{
    char heard[UNITS_SIZE];
    size_t written = 0;
    for (uint32_t i = 0; i < muster_group_size(group) && written < LINES_MAX; i++) {
        const struct muster_group_peer *peer = &peers[i];
        if (peer->link == MUSTER_LINK_NONE)
            continue;
        fprintf(out, "rank %u, link to rank %u, %s (%s): %s, ", (unsigned)muster_group_rank(group),
                (unsigned)i, peer->name, muster_member_state_name(peer->state),
                muster_link_state_name(peer->link));
        if (peer->heard_ms >= 0)
            fprintf(out, "last heard of %s ago; ", units_time(peer->heard_ms, heard));
        write_traffic(out, &peer->traffic);
        written++;
    }
}

void node_state_write_member(FILE *out, struct muster_group *group)
{
    struct muster_group_peer *peers = muster_group_get_peers(group, NULL);
    write_group(out, group);
    if (!peers)
        return;
    write_waits(out, group, peers);
    write_links(out, group, peers);
    free(peers);
}
