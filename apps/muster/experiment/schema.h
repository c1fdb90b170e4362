/* The JSON schema of an experiment's file, for editors. */
#ifndef SCHEMA_H
#define SCHEMA_H

#include <jansson.h>

/* A new object (draft 2020-12); NULL when out of memory. */
json_t *schema_new(void);

#endif
