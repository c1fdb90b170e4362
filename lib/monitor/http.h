/*
 * The HTTP server: libmicrohttpd, with one thread of its own. It asks request.c for replies. The feed's readers
 * are suspended while there is nothing for them. Who is slow with a request, or with taking its reply, is cut.
 */
#ifndef MUSTER_MONITOR_HTTP_H
#define MUSTER_MONITOR_HTTP_H

#include <stddef.h>

#include <muster/status.h>

#include "monitor/feed.h"
#include "monitor/request.h"

struct http;

/* How the feed suspends and resumes readers whose connection is one of ours. */
extern const struct feed_reader_class muster__http_readers;

/* Starts to serve on `descriptor`, which is taken over, also when it fails. `answerer` and `feed` stay until
   muster__http_stop(); certificate and key (PEM, both or none) are copied. INVALID: these are not valid;
   UNSUPPORTED: they cannot be used; OUT_OF_MEMORY. */
enum muster_status muster__http_start(int descriptor, int family, const struct answerer *answerer,
                                      struct feed *feed, size_t max_connections, const char *certificate,
                                      const char *key, struct http **http, struct muster_error *error);

/* Cuts those that are slow. To be called now and then, with a lock of nobody's held. */
void muster__http_tick(struct http *http);

/* Ends all connections. The feed has ended. */
void muster__http_stop(struct http *http);

#endif
