/*
 * What of HTTP reaches the monitor: one field of a request on each line. Whatever comes is replied to; without the
 * token nothing is shown; JSON is JSON, the metrics are lines of metrics, the log is events.
 */
#include <config.h>

#include <string.h>

#include <jansson.h>

#include <muster/muster.h>

#include "fuzz/fuzz.h"
#include "monitor/curves.h"
#include "monitor/feed.h"
#include "monitor/metrics.h"
#include "monitor/request.h"
#include "monitor/sources.h"
#include "monitor/written.h"

enum {
    METHOD,
    PATH,
    HOST,
    AUTHORIZATION,
    ACCEPT,
    FILTER,
    SORT,
    DESCENDING,
    OFFSET,
    LIMIT,
    CURVES,
    LAST,
    FIELDS
};

static struct feed feed;
static struct curves curves;
static struct sources sources;

static void do_nothing(void *connection)
{
    (void)connection;
}

static const struct feed_reader_class class = {do_nothing, do_nothing};

static void join(const char *name)
{
    struct participant_options options;
    struct participant *participant;
    participant_options_init(&options);
    options.name = name;
    options.on_warning = NULL;
    CHECK(participant_connect("local:request", &options, &participant, NULL) == MUSTER_OK);
    CHECK(participant_dispatch(participant, &(struct muster_message)MUSTER_MESSAGE_INIT, NULL) == MUSTER_OK);
}

/* Once: a manager with two participants, who stay. */
static void set_up(void)
{
    static struct participant_manager *manager;
    struct participant_manager_options options;
    struct proxy **proxies;
    size_t count;
    if (manager)
        return;
    muster__feed_init(&feed, &class, 7);
    muster__curves_init(&curves);
    muster__sources_init(&sources, &feed);
    participant_manager_options_init(&options);
    options.listen = "local:request";
    options.on_warning = NULL;
    CHECK(participant_manager_start(&options, &manager, NULL) == MUSTER_OK);
    CHECK(muster__sources_add_manager(&sources, "a \"quoted\"\nname", manager, NULL) == MUSTER_OK);
    join("ada");
    join("<img src=x onerror=\"alert(1)\">");
    CHECK(participant_manager_get_participants(manager, 2, MUSTER_NO_LIMIT, &proxies, &count, NULL) ==
          MUSTER_OK);
    proxy_release_all(proxies, count);
}

/* The next line, on the heap and of its own length; NULL: there is none, or it is only "-". */
static char *take_line(struct input *input)
{
    const uint8_t *end = input->left ? memchr(input->at, '\n', input->left) : NULL;
    struct input line = take_bytes(input, end ? (size_t)(end - input->at) : input->left);
    if (end)
        take_byte(input);
    char *text = calloc(1, line.left + 1);
    CHECK(text);
    if (line.left)
        memcpy(text, line.at, line.left);
    if (strcmp(text, "-") != 0)
        return text;
    free(text);
    return NULL;
}

static void check_json(const struct reply *reply)
{
    json_t *state = json_loadb(reply->text, reply->size, 0, NULL);
    CHECK(json_is_object(state));
    json_t *participants = json_object_get(state, "participants");
    json_int_t matching = json_integer_value(json_object_get(participants, "matching"));
    CHECK(json_integer_value(json_object_get(participants, "total")) == 2);
    CHECK(matching <= 2 && (json_int_t)json_array_size(json_object_get(participants, "rows")) <= matching);
    json_decref(state);
}

/* A name, labels whose values are escaped, and a number, on each line. */
static void check_sample(const char *line, size_t size)
{
    const char *end = line + size, *at = line + strspn(line, "abcdefghijklmnopqrstuvwxyz_");
    CHECK(at > line && at < end);
    for (bool quoted = false; at < end && *at != '\n' && (quoted || *at != ' '); at++) {
        if (*at == '"')
            quoted = !quoted;
        else if (*at == '\\')
            CHECK(quoted && strchr("\\\"n", *++at));
    }
    CHECK(at < end && *at == ' ');
    char *number_end;
    strtod(at + 1, &number_end);
    CHECK(number_end == end);
}

static void check_metrics(const struct reply *reply)
{
    const char *end = reply->text + reply->size;
    CHECK(reply->size && end[-1] == '\n');
    for (const char *at = reply->text; at < end;) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (*at != '#')
            check_sample(at, (size_t)(line_end - at));
        at = line_end + 1;
    }
}

static void check_reply(const struct request *request, const struct answerer *answerer)
{
    struct reply reply = muster__answer(answerer, request);
    CHECK(reply.type && (reply.text || reply.events));
    CHECK(reply.status == 200 || reply.status == 400 || reply.status == 401 || reply.status == 404 ||
          reply.status == 405 || reply.status == 421);
    CHECK(reply.status != 200 || strcmp(request->method, "GET") == 0);
    CHECK(reply.status == 421 || request->host);
    if (reply.status == 200 && strcmp(request->path, "/healthz") != 0)
        CHECK(!answerer->token || request->authorization);
    if (reply.status == 200 && strcmp(request->path, "/api/state") == 0)
        check_json(&reply);
    if (reply.status == 200 && strcmp(request->path, "/metrics") == 0)
        check_metrics(&reply);
    free(reply.own);
}

/* An event is fields and an empty line, and no field is anybody's but ours. */
static void check_events(const char *last)
{
    static char text[1 << 20];
    struct feed_reader *reader = muster__feed_open(&feed, &feed, last, 1);
    size_t size = 0;
    ssize_t read;
    CHECK(reader);
    while ((read = muster__feed_read(reader, text + size, 64)) > 0) {
        size += (size_t)read;
        CHECK(size + 64 < sizeof(text));
    }
    muster__feed_close(reader);
    for (const char *at = text, *end = text + size; at < end;
         at = (const char *)memchr(at, '\n', 1 << 20) + 1)
        CHECK(*at == '\n' || strncmp(at, "id: 7-", 6) == 0 || strncmp(at, "data: ", 6) == 0 ||
              strncmp(at, "retry: ", 7) == 0 || strncmp(at, "event: alive\n", 13) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct answerer answerer = {
        .sources = &sources, .curves = &curves, .epoch = 7, .participant_series = 1 + take_byte(&input) % 2};
    char *fields[FIELDS], *hosts[] = {(char *)(uintptr_t) "example.org"};
    set_up();
    answerer.hosts = hosts;
    answerer.host_count = 1;
    for (size_t i = 0; i < FIELDS; i++)
        fields[i] = take_line(&input);
    const struct request request = {
        .method = fields[METHOD] ? fields[METHOD] : "GET",
        .path = fields[PATH] ? fields[PATH] : "/api/state",
        .host = fields[HOST] ? fields[HOST] : "localhost",
        .authorization = fields[AUTHORIZATION],
        .accept = fields[ACCEPT],
        .filter = fields[FILTER],
        .sort = fields[SORT],
        .descending = fields[DESCENDING],
        .offset = fields[OFFSET],
        .limit = fields[LIMIT],
        .curves = fields[CURVES],
    };
    char *text = take_line(&input);
    if (text) { /* what the program tells is shown, too */
        muster__curves_scalar(&curves, size, text, (double)size);
        muster__curves_setting(&curves, text, text);
        muster__feed_add(&feed, &(struct feed_line){.kind = "log", .participant = text, .text = text});
    }
    check_reply(&request, &answerer);
    answerer.token = (char *)(uintptr_t) "secret";
    check_reply(&request, &answerer);
    check_events(fields[LAST]);
    for (size_t i = 0; i < FIELDS; i++)
        free(fields[i]);
    free(text);
    return 0;
}
