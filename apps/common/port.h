/* Telling the port on which a program listens to the one who started it. */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

#include <muster/muster.h>

/* Writes a line with the port to `path`: a new file, which appears when it is complete, or a pipe or terminal that is
 * there. IO with *error. */
enum muster_status port_announce(const char *path, uint16_t port, struct muster_error *error);

#endif
