/* A house is a door with a participant behind it that nothing that others do may disturb. */
#ifndef MUSTER_TESTS_INTEGRATION_HOUSE_H
#define MUSTER_TESTS_INTEGRATION_HOUSE_H

#include "integration/fixture.h"

struct house {
    struct door door;
    struct member member;
    struct proxy *bystander;
};

void house_open(struct house *house, const struct participant_manager_options *options);
void house_close(struct house *house);

#endif
