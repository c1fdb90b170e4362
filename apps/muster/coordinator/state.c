/* What a coordinator knows of its groups. */
#include <config.h>

#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"

void coordinator_state_write(FILE *out, struct muster_coordinator *coordinator)
{
    char since[UNITS_SIZE], left[UNITS_SIZE];
    size_t count;
    struct muster_coordinator_group *groups = muster_coordinator_get_groups(coordinator, &count);
    for (size_t i = 0; groups && i < count; i++) {
        const struct muster_coordinator_group *group = &groups[i];
        fprintf(out,
                "group %s: %s for %s, epoch %llu; of %u members %u present, %u of these away, %u lost, %u "
                "finished",
                group->name, muster_group_stage_name(group->stage), units_time(group->since_ms, since),
                (unsigned long long)group->epoch, (unsigned)group->members, (unsigned)group->present,
                (unsigned)group->away, (unsigned)group->lost, (unsigned)group->finished);
        if (group->stage == MUSTER_GROUP_GATHERS)
            fprintf(out, "; left: %s", units_time(group->left_ms, left));
        fputc('\n', out);
    }
    free(groups);
}

void coordinator_state_tell(char *text)
{
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        log_answer("state: %s", line);
    log_answer("end of the state");
}
