/* What the help of a server says besides its options. */
#ifndef SERVER_HELP_H
#define SERVER_HELP_H

/* Lists the strategies and their parameters, and the keys, as the end of --help; NULL when out of memory, otherwise to be
 * freed. */
char *server_help_strategies(void);

#endif
