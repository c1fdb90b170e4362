/* Where a program listens: telling the port to the one who started it, and how it is reached. */
#ifndef PORT_H
#define PORT_H

#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

/* Writes a line with the port to `path`, and a second with that of the monitor unless it is 0: a new file, which appears when it
 * is complete, or a pipe or terminal that is there. IO with *error. */
enum muster_status port_announce(const char *path, uint16_t port, uint16_t monitor_port,
                                 struct muster_error *error);

/* Logs the port, and the transport unless it is the usual one. */
void port_log(const char *listen, uint16_t port);

/* An address to listen on without the name of a transport before it: HOST:PORT of http2+HOST:PORT. */
const char *port_host(const char *listen);

/* Where one that listens on `listen`, and has got `port`, is reached from this machine, over the same transport. */
void port_address(const char *listen, uint16_t port, char *address, size_t size);

#endif
