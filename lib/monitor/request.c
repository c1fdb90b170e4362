/* What of HTTP reaches our code, and what is replied. */
#include <config.h>

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/access.h"
#include "monitor/curves.h"
#include "monitor/metrics.h"
#include "monitor/page.h"
#include "monitor/request.h"
#include "monitor/sources.h"
#include "monitor/state.h"
#include "monitor/written.h"

#define PLAIN "text/plain; charset=utf-8"

static struct reply plain(unsigned status, const char *text)
{
    return (struct reply){.status = status, .type = PLAIN, .text = text, .size = strlen(text)};
}

/* ---- what is written when it is asked for ---- */

bool muster__accepts_open_metrics(const char *accept)
{
    const char *at = accept ? strcasestr(accept, "application/openmetrics-text") : NULL;
    if (!at)
        return false;
    /* With a weight of 0 it is what they do not want. */
    size_t length = strcspn(at, ",");
    const char *weight = strcasestr(at, "q=");
    return !weight || weight >= at + length || strtod(weight + 2, NULL) > 0;
}

static struct reply reply_of(struct written *written, const char *type)
{
    struct reply reply = {.status = 200, .type = type};
    reply.text = reply.own = muster__written_end(written, &reply.size);
    return reply.own ? reply : plain(503, "no memory\n");
}

static struct reply metrics(const struct answerer *answerer, const struct request *request)
{
    enum metrics_format format = muster__accepts_open_metrics(request->accept) ? METRICS_OPEN : METRICS_TEXT;
    struct written text;
    struct look look;
    FILE *out = muster__written_begin(&text);
    if (!out)
        return plain(503, "no memory\n");
    muster__look_begin(&look, answerer->sources, answerer->participant_series > 0);
    muster__metrics_write(out, format, &look, answerer->curves, answerer->participant_series);
    muster__look_end(&look);
    return reply_of(&text, muster__metrics_type(format));
}

/* A whole number; false: it is none. NULL leaves *value as it is. */
static bool read_size(const char *text, size_t *value)
{
    char *end;
    if (!text)
        return true;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*end || errno)
        return false;
    *value = number;
    return true;
}

static bool read_bool(const char *text, bool *value)
{
    if (!text)
        return true;
    *value = strcmp(text, "1") == 0;
    return *value || strcmp(text, "0") == 0;
}

static bool read_query(const struct request *request, struct state_query *query)
{
    *query = muster__state_query();
    query->filter = request->filter && *request->filter ? request->filter : NULL;
    return (!request->sort || muster__state_order(request->sort, &query->order)) &&
           read_bool(request->descending, &query->descending) && read_size(request->offset, &query->offset) &&
           read_size(request->limit, &query->limit) && read_bool(request->curves, &query->curves);
}

static struct reply state(const struct answerer *answerer, const struct request *request)
{
    struct state_query query;
    struct written text;
    struct look look;
    if (!read_query(request, &query))
        return plain(
            400,
            "the query is not valid: filter=TEXT, sort=rank|name|state|progress|turn|heard|failed|bytes, "
            "descending=0|1, offset=N, limit=N, curves=0|1\n");
    FILE *out = muster__written_begin(&text);
    if (!out)
        return plain(503, "no memory\n");
    muster__look_begin(&look, answerer->sources, true);
    muster__state_write(out, &query, &look, answerer->curves, answerer->epoch);
    muster__look_end(&look);
    return reply_of(&text, "application/json");
}

/* ---- what is where ---- */

static struct reply events(const struct answerer *answerer, const struct request *request)
{
    (void)answerer;
    (void)request;
    return (struct reply){.status = 200, .type = "text/event-stream", .events = true};
}

static const struct {
    const char *path;
    struct reply (*answer)(const struct answerer *answerer, const struct request *request);
} written_paths[] = {
    {"/metrics", metrics},
    {"/api/state", state},
    {"/api/events", events},
};

/* Numbers are read and written with a point, whatever the program's locale says. */
static struct reply in_plain_locale(struct reply (*answer)(const struct answerer *, const struct request *),
                                    const struct answerer *answerer, const struct request *request)
{
    locale_t point = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!point)
        return plain(503, "no memory\n");
    locale_t before = uselocale(point);
    struct reply reply = answer(answerer, request);
    uselocale(before);
    freelocale(point);
    return reply;
}

static struct reply find(const struct answerer *answerer, const struct request *request)
{
    for (size_t i = 0; i < sizeof(written_paths) / sizeof(*written_paths); i++) {
        if (strcmp(request->path, written_paths[i].path) == 0)
            return in_plain_locale(written_paths[i].answer, answerer, request);
    }
    for (const struct page_file *file = muster__page_files; file->path; file++) {
        if (strcmp(request->path, file->path) == 0)
            return (struct reply){.status = 200,
                                  .type = file->type,
                                  .text = (const char *)file->bytes,
                                  .size = *file->size,
                                  .cached = file->cached};
    }
    return plain(404, "there is nothing here\n");
}

struct reply muster__answer(const struct answerer *answerer, const struct request *request)
{
    if (!muster__host_is_good(request->host, answerer->hosts, answerer->host_count))
        return plain(421, "this server does not answer for that host: add it to the monitor's hosts\n");
    if (strcmp(request->method, "GET") != 0)
        return plain(405, "GET only\n");
    if (strcmp(request->path, "/healthz") == 0)
        return plain(200, "ok\n");
    if (answerer->token && !muster__shows_token(request->authorization, answerer->token))
        return plain(401, "the token is needed, as Bearer or as the password of Basic\n");
    return find(answerer, request);
}
