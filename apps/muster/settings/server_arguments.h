/* The settings as options of a command line. */
#ifndef SERVER_ARGUMENTS_H
#define SERVER_ARGUMENTS_H

#include <argp.h>

#include "settings.h"

/* A child of a program's parser, with --set KEY=VALUE, those for TLS, tokens and the log, and all others of the table. Its
 * input is a struct server_settings, which it checks at the end. NULL when out of memory. One thread. */
const struct argp *server_arguments(void);

/* Lists the strategies and their parameters, as the end of --help; NULL when out of memory, otherwise to be freed. */
char *server_arguments_strategies(void);

#endif
