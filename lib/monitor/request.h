/* What of HTTP reaches our code, and what is replied. Nothing here knows libmicrohttpd. */
#ifndef MUSTER_MONITOR_REQUEST_H
#define MUSTER_MONITOR_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct curves;
struct sources;

/* A request. Texts are NULL if they are missing. */
struct request {
    const char *method;
    const char *path;
    const char *host; /* headers */
    const char *authorization;
    const char *accept;
    /* What the query says. */
    const char *filter, *sort, *descending, *offset, *limit, *curves;
};

/* What a reply is made of. */
struct answerer {
    struct sources *sources;
    struct curves *curves;
    uint64_t epoch;
    char *token; /* NULL: everybody may ask */
    char **hosts;
    size_t host_count;
    size_t participant_series;
};

struct reply {
    unsigned status;
    const char *type; /* Content-Type; static */
    const char *text; /* the body, of `size` bytes; static, or */
    char *own;        /* whose it then is: to be freed */
    size_t size;
    bool cached; /* a browser may keep it */
    bool events; /* the body is the feed */
};

struct reply muster__answer(const struct answerer *answerer, const struct request *request);

/* Which format of the metrics the Accept header (NULL: none) asks for: OpenMetrics where it is named. */
bool muster__accepts_open_metrics(const char *accept);

#endif
