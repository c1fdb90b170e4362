/* Where the members of this program's tests listen. */
#ifndef MUSTER_TESTS_GROUP_OVER_H
#define MUSTER_TESTS_GROUP_OVER_H

extern const char *const OVER;

#endif
