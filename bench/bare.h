/* What the bare servers are made of: one epoll loop on the thread that asks for a round, and no other. A
   protocol says how a message is written and found in what comes; each connection is one participant. */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "role.h"

/* A participant; a protocol puts its own behind it. */
struct bare_connection {
    int descriptor;
    bool joined;
};

struct bare_protocol {
    size_t size; /* of a connection with what is behind it */
    void (*open)(struct bare_connection *connection);
    /* Bytes came: bare_heard() for each message that is whole. */
    void (*take)(struct bare_connection *connection, const uint8_t *data, size_t size);
    /* Sends an instruction, which stays where it is. */
    void (*send)(struct bare_connection *connection, const void *instruction, size_t size);
    void (*close)(struct bare_connection *connection);
};

uint16_t bare_start(const struct bare_protocol *protocol, const struct role_options *options);

/* As the functions of a role_server. */
void bare_join(size_t count);
void bare_turn(void);
void bare_round(void);
void bare_stop(void);

/* For the protocols: a message of `size` bytes came. */
void bare_heard(struct bare_connection *connection, size_t size);

/* All of it, without waiting; a socket that does not take it ends the process: what is sent here is small. */
void bare_write(int descriptor, struct iovec *pieces, size_t count);

/* Once it is connected: sends are not put off, and neither they nor reads wait. */
void bare_prepare(int descriptor);

/* What is there, at most `size` bytes. False: nothing more for now. */
bool bare_read(int descriptor, void *data, size_t size, size_t *got);

#endif
