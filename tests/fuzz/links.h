/* What holds of all links of a member at any time, whatever its peers say. */
#ifndef MUSTER_TESTS_FUZZ_LINKS_H
#define MUSTER_TESTS_FUZZ_LINKS_H

#include "fuzz/fuzz.h"
#include "group/internal.h"

void links_check(const struct muster_group *group);

#endif
