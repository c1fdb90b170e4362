/* The options that have a part in the result, as JSON. */
#ifndef CONFIGURATION_H
#define CONFIGURATION_H

#include <jansson.h>

#include "common/dataset.h"
#include "server_options.h"

/* How the configuration is written. */
#define CONFIGURATION_FORMAT (JSON_INDENT(2) | JSON_REAL_PRECISION(15))

/* The options as resolved; NULL when out of memory or when a name is not UTF-8. */
json_t *configuration_new(const struct server_options *options, const struct dataset *dataset);

#endif
