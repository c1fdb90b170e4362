/* Telling the port on which a program listens to the one who started it. */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

#include <muster/muster.h>

/* Writes a line with the port to `path`, and a second with that of the monitor unless it is 0: a new file, which appears when it
 * is complete, or a pipe or terminal that is there. IO with *error. */
enum muster_status port_announce(const char *path, uint16_t port, uint16_t monitor_port,
                                 struct muster_error *error);

#endif
