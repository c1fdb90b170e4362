/* The address that the monitor listens on. */
#ifndef MUSTER_MONITOR_LISTEN_H
#define MUSTER_MONITOR_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/status.h>

/* A socket that listens. */
struct listening {
    int descriptor;
    int family;
    uint16_t port;
    bool loopback;  /* only this machine reaches it */
    char host[256]; /* as in the address, without brackets */
};

/* Listens on "host:port" or "[v6]:port". EXISTS: it is in use; INVALID: it is no such address, or not a loopback
   address and `anywhere` is false; OUT_OF_MEMORY: no descriptor. */
enum muster_status muster__listen(const char *address, bool anywhere, struct listening *listening,
                                  struct muster_error *error);

#endif
