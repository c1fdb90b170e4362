/* Addresses of TCP, as texts: those that users write, and those of peers. */
#ifndef MUSTER_NETWORK_ADDRESS_H
#define MUSTER_NETWORK_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/status.h>

#define HOST_SIZE    256
#define HTTP2_PREFIX "http2+"

/* Behind HTTP2_PREFIX, if the address has it. */
const char *muster__plain_address(const char *address);

/* Takes "host:port" or "[v6]:port" apart, without brackets, for listen() and connect(), with HTTP2_PREFIX or without.
   INVALID: the text has the address as it was given, and says how one is written. */
enum muster_status muster__split_to_listen(const char *address, char host[HOST_SIZE], const char **port,
                                           struct muster_error *error);
enum muster_status muster__split_to_connect(const char *address, char host[HOST_SIZE], const char **port,
                                            struct muster_error *error);

/* Whether `host` stands for one address, in the form in which getnameinfo() writes it. */
bool muster__is_one_address(const char *host);

/* Why an address could not be listened on: `code` of getaddrinfo(), or with 0, the error number of the socket. */
enum muster_status muster__bind_failed(const char *address, int code, int number, struct muster_error *error);

/* The same where nobody knows: it is tried again, and given up at once. */
enum muster_status muster__explain_bind(const char *address, const char *host, const char *port,
                                        struct muster_error *error);

/* Takes a peer's address as C-core writes it ("ipv4:1.2.3.4:567") apart; false when it is none. */
bool muster__split_peer(const char *peer, char host[HOST_SIZE], uint16_t *port);

#endif
