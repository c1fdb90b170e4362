/* What a member says of itself when it registers. */
#ifndef MUSTER_GROUP_COORDINATOR_REGISTRATION_H
#define MUSTER_GROUP_COORDINATOR_REGISTRATION_H

#include <muster/proxy.h>

#include "group/coordinator_groups.h"

/* The group's name, and the member's; NULL: it says none. They are valid as long as the proxy. */
const char *muster__registration_group(const struct proxy *proxy, const char **name);

/* Reads the name and the labels. The texts belong to the proxy, or lie in `address`. NULL, or what is
   wrong. */
const char *muster__registration_read(const struct proxy *proxy, char address[MEMBER_ADDRESS_MAX + 1],
                                      struct registration *registration);

/* Where the coordinator sees a member come from, such as "ipv4:10.0.0.7:41234" or "ipv6:%5B::1%5D:41234",
   with another port. False: it is too long. */
bool muster__registration_address(const char *peer, unsigned port, char *address, size_t size);

#endif
