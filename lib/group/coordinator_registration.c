/* What a member says of itself when it registers: its name and its labels. A stranger may have written
   them. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group/coordinator_registration.h"
#include "group/words.h"

static bool read_number(const char *text, int64_t least, int64_t most, int64_t *number)
{
    char *end;
    if (!text || !((*text >= '0' && *text <= '9') || *text == '-') || strlen(text) > 20)
        return false;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return !*end && errno == 0 && *number >= least && *number <= most;
}

static bool read_incarnation(const char *text, uint64_t *number)
{
    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return false;
    *number = strtoull(text, NULL, 16);
    return true;
}

bool muster__registration_address(const char *peer, unsigned port, char *address, size_t size)
{
    const char *colon = strrchr(peer, ':'), *at = peer;
    char host[128], code[3] = "", *out = host;
    if (strncmp(peer, "ipv4:", 5) == 0 || strncmp(peer, "ipv6:", 5) == 0)
        at += 5;
    while (*at && at != colon && out < host + sizeof(host) - 1) {
        bool coded = at[0] == '%' && at[1] && at[2];
        if (coded)
            memcpy(code, at + 1, 2);
        *out++ = coded ? (char)strtol(code, NULL, 16) : *at;
        at += coded ? 3 : 1;
    }
    *out = '\0';
    return (size_t)snprintf(address, size, "%s:%u", host, port) < size;
}

const char *muster__registration_group(const struct proxy *proxy, const char **name)
{
    const char *group = proxy_label(proxy, LABEL_GROUP);
    size_t size = group ? strlen(group) : 0;
    if (!group || strncmp(proxy_name(proxy), group, size) != 0 || proxy_name(proxy)[size] != ':')
        return NULL;
    *name = proxy_name(proxy) + size + 1;
    return group;
}

const char *muster__registration_read(const struct proxy *proxy, char address[MEMBER_ADDRESS_MAX + 1],
                                      struct registration *registration)
{
    const char *name, *group = muster__registration_group(proxy, &name);
    int64_t size, least, port;
    if (!group)
        return "its label 'group' and its name do not say of which group it is a member";
    if (!*group || strlen(group) > GROUP_NAME_MAX || strchr(group, ':'))
        return "the group's name is empty, too long, or has a colon";
    if (!*name || strlen(name) > MEMBER_NAME_MAX)
        return "its name in the group is empty or too long";
    if (!read_number(proxy_label(proxy, LABEL_SIZE), 1, GROUP_MEMBERS_MAX, &size) ||
        !read_number(proxy_label(proxy, LABEL_LEAST), 1, size, &least))
        return "its labels 'size' and 'least' are no sizes of a group";
    if (!read_number(proxy_label(proxy, LABEL_LIMIT), MUSTER_NO_LIMIT, INT64_MAX, &registration->limit_ms))
        return "its label 'limit' is no time";
    if (!read_incarnation(proxy_label(proxy, LABEL_INCARNATION), &registration->incarnation))
        return "its label 'incarnation' is not one";
    registration->address = proxy_label(proxy, LABEL_ADDRESS);
    if (!registration->address) {
        registration->address = address;
        if (!read_number(proxy_label(proxy, LABEL_PORT), 1, UINT16_MAX, &port) ||
            !muster__registration_address(proxy_peer(proxy), (unsigned)port, address, MEMBER_ADDRESS_MAX + 1))
            return "its labels do not say where it listens";
    } else if (!*registration->address || strlen(registration->address) > MEMBER_ADDRESS_MAX)
        return "its address is empty or too long";
    registration->group = group;
    registration->name = name;
    registration->size = (uint32_t)size;
    registration->least = (uint32_t)least;
    return NULL;
}
