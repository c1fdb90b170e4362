/* Numbers in JSON. */
#ifndef MUSTER_RECORD_JSON_H
#define MUSTER_RECORD_JSON_H

#include <jansson.h>

/* NaN and infinities are the strings "NaN", "Infinity" and "-Infinity", as protobuf's JSON has them. NULL:
   out of memory. */
json_t *muster__json_number(double value);

#endif
