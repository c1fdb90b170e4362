/* The time of the system's clock that never goes back. */
#ifndef MUSTER_TESTS_NOW_H
#define MUSTER_TESTS_NOW_H

#include <stdint.h>

int64_t now_ms(void);

#endif
