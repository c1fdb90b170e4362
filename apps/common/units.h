/* Times and sizes for people. */
#ifndef UNITS_H
#define UNITS_H

#include <stdint.h>

enum { UNITS_SIZE = 32 };

/* Milliseconds, such as "6.2 s", "3 min 20 s" or "2 h 5 min"; MUSTER_NO_LIMIT: "no limit". Returns `text`. */
const char *units_time(int64_t milliseconds, char text[UNITS_SIZE]);

/* Bytes, such as "512 B", "1.2 kB" or "34.5 GB", in steps of 1000. Returns `text`. */
const char *units_bytes(double bytes, char text[UNITS_SIZE]);

/* Whole percent, cut off: 100 is only what is done. */
int units_percent(double share);

#endif
