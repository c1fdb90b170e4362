/* A peer that writes HTTP/2 by hand, a frame at a time, and does with it what no library would. */
#ifndef MUSTER_TESTS_HTTP2_RAW_H
#define MUSTER_TESTS_HTTP2_RAW_H

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest frame that it reads. */
enum { FRAME_MAX = 1 << 20 };

struct raw {
    int descriptor;
    SSL *tls; /* NULL: without */
    nghttp2_hd_inflater *inflater;
};

struct frame {
    uint8_t type, flags;
    uint32_t stream;
    size_t size;
    uint8_t *bytes; /* valid until the next */
};

/* Connects to a port of this machine; and listens on one, and takes who connects. */
struct raw raw_connect(uint16_t port);
int raw_listen(uint16_t *port);
struct raw raw_accept(int listener);
void raw_close(struct raw *raw);
/* A server that has sent its headers ends stream 1 well, and its connection at once, while the client's thread of the
   network stands still in the middle of a message. Meanwhile the client sends, which fails. */
struct end;
void raw_last_words(struct raw *raw, struct end *client);
/* Agrees on TLS as a client, or as a server that has a certificate; false: the other side did not. `tls` is its own
   from then on. */
bool raw_agree(struct raw *raw, SSL *tls);

/* False: the other side has ended the connection. */
bool raw_write(struct raw *raw, const void *bytes, size_t size);
bool raw_frame(struct raw *raw, uint8_t type, uint8_t flags, uint32_t stream, const void *bytes, size_t size);
/* A client's preface and settings; a server's settings. */
void raw_hello(struct raw *raw);
void raw_server_hello(struct raw *raw);

/* Appends a header as HPACK writes it in full. Returns where the next goes. */
uint8_t *put_header(uint8_t *at, const char *name, const char *value);
/* The request of the suite's first service, with one more header (NULL: none). */
bool raw_request(struct raw *raw, uint32_t stream, uint8_t flags, const char *name, const char *value);

/* The next frame; false: the end. */
bool raw_next(struct raw *raw, struct frame *frame);
/* Reads frames until one of this type; false: the connection ended before. */
bool raw_until(struct raw *raw, uint8_t type, struct frame *frame);
/* Reads until the end of the connection. */
void raw_until_end(struct raw *raw);
/* The code of the stream's RST_STREAM, or of the GOAWAY, whichever comes first; -1: the connection ended. */
int64_t raw_until_code(struct raw *raw);
/* The value of a header in HEADERS, and in those that come next; "": they have none. */
void raw_header(struct raw *raw, const struct frame *frame, const char *name, char *value, size_t size);
void raw_until_header(struct raw *raw, const char *name, char *value, size_t size);

#endif
