/* What the monitor writes: escapes and numbers of the metrics, paths, queries. */
#include <config.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <muster/muster.h>

#include "monitor/curves.h"
#include "monitor/feed.h"
#include "monitor/metrics.h"
#include "monitor/request.h"
#include "monitor/sources.h"
#include "monitor/state.h"
#include "monitor/written.h"

static struct feed *feed;
static struct curves *curves;
static struct sources sources;
static struct answerer answerer;
static const struct feed_reader_class class = {NULL, NULL};

static void setup(void)
{
    feed = malloc(sizeof(*feed));
    curves = malloc(sizeof(*curves));
    muster__feed_init(feed, &class, 1);
    muster__curves_init(curves);
    muster__sources_init(&sources, feed);
    answerer = (struct answerer){.sources = &sources, .curves = curves, .epoch = 1, .participant_series = 10};
}

static void teardown(void)
{
    muster__sources_destroy(&sources);
    muster__curves_destroy(curves);
    muster__feed_destroy(feed);
    free(curves);
    free(feed);
}

static struct reply ask(struct request request)
{
    request.method = request.method ? request.method : "GET";
    request.host = request.host ? request.host : "localhost";
    return muster__answer(&answerer, &request);
}

static unsigned status_of(struct request request)
{
    struct reply reply = ask(request);
    free(reply.own);
    return reply.status;
}

static char *escaped(const char *value)
{
    struct written text;
    size_t size;
    muster__metrics_escape(muster__written_begin(&text), value);
    return muster__written_end(&text, &size);
}

Test(formats, labels_are_escaped)
{
    char *text = escaped("a\"b\\c\nd{}=,<img src=x>");
    cr_assert_str_eq(text, "a\\\"b\\\\c\\nd{}=,<img src=x>");
    free(text);
}

static void check_number(double value, const char *expected)
{
    struct written text;
    size_t size;
    muster__metrics_number(muster__written_begin(&text), value);
    char *number = muster__written_end(&text, &size);
    cr_assert_str_eq(number, expected);
    free(number);
}

Test(formats, numbers)
{
    check_number(0, "0");
    check_number(0.1, "0.10000000000000001");
    check_number(-1e300, "-1.0000000000000001e+300");
    check_number(NAN, "NaN");
    check_number(INFINITY, "+Inf");
    check_number(-INFINITY, "-Inf");
}

Test(formats, accept)
{
    cr_assert_not(muster__accepts_open_metrics(NULL));
    cr_assert_not(muster__accepts_open_metrics("*/*"));
    cr_assert_not(muster__accepts_open_metrics("text/plain;version=0.0.4"));
    cr_assert_not(muster__accepts_open_metrics("application/openmetrics-text;version=1.0.0;q=0,text/plain"));
    cr_assert(muster__accepts_open_metrics("application/openmetrics-text"));
    cr_assert(
        muster__accepts_open_metrics("text/plain;q=0.5,application/openmetrics-text;version=1.0.0,*/*;q=0"));
    cr_assert(muster__accepts_open_metrics("application/openmetrics-text;q=0.7"));
}

Test(formats, what_is_where, .init = setup, .fini = teardown)
{
    cr_assert_eq(status_of((struct request){.path = "/"}), 200);
    cr_assert_eq(status_of((struct request){.path = "/groups.js"}), 200);
    cr_assert_eq(status_of((struct request){.path = "/page.js"}), 200);
    cr_assert_eq(status_of((struct request){.path = "/chart.js"}), 200);
    cr_assert_eq(status_of((struct request){.path = "/metrics"}), 200);
    cr_assert_eq(status_of((struct request){.path = "/api/state"}), 200);
    cr_assert_eq(status_of((struct request){.path = "/healthz"}), 200);
    cr_assert_eq(status_of((struct request){.path = ""}), 404);
    cr_assert_eq(status_of((struct request){.path = "/../etc/passwd"}), 404);
    cr_assert_eq(status_of((struct request){.path = "/metrics/"}), 404);
    cr_assert_eq(status_of((struct request){.path = "/", .method = "POST"}), 405);
    cr_assert_eq(status_of((struct request){.path = "/", .method = "HEAD"}), 405);
    cr_assert_eq(status_of((struct request){.path = "/", .host = "evil.example"}), 421);
    answerer.token = (char *)"secret";
    cr_assert_eq(status_of((struct request){.path = "/"}), 401);
    cr_assert_eq(status_of((struct request){.path = "/nothing"}), 401);
    cr_assert_eq(status_of((struct request){.path = "/healthz"}), 200);
    cr_assert_eq(status_of((struct request){.path = "/", .authorization = "Bearer secret"}), 200);
}

Test(formats, queries, .init = setup, .fini = teardown)
{
    static const char *const sorts[] = {"rank", "name",  "state",  "progress",
                                        "turn", "heard", "failed", "bytes"};
    static const char *const bad[] = {"", "-1", "1x", " 1", "99999999999999999999999", "0x10"};
    for (size_t i = 0; i < sizeof(sorts) / sizeof(*sorts); i++)
        cr_assert_eq(status_of((struct request){.path = "/api/state", .sort = sorts[i], .descending = "1"}),
                     200);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        cr_assert_eq(status_of((struct request){.path = "/api/state", .limit = bad[i]}), 400);
        cr_assert_eq(status_of((struct request){.path = "/api/state", .offset = bad[i]}), 400);
    }
    cr_assert_eq(status_of((struct request){.path = "/api/state", .sort = "Rank"}), 400);
    cr_assert_eq(status_of((struct request){.path = "/api/state", .curves = "yes"}), 400);
    cr_assert_eq(status_of((struct request){.path = "/api/state", .descending = ""}), 400);
    cr_assert_eq(status_of((struct request){.path = "/api/state", .offset = "18446744073709551615"}), 200);
}

Test(formats, the_state_is_json_whatever_the_scalars_are, .init = setup, .fini = teardown)
{
    muster__curves_scalar(curves, 1, "lo\"ss", NAN);
    muster__curves_scalar(curves, 2, "lo\"ss", 0.25);
    muster__curves_scalar(curves, 1, "second", INFINITY);
    muster__curves_setting(curves, "<b>", "\"\\");
    muster__curves_history(curves, (struct point){.x = 5, .values = {1, 2, 3, 4}});
    struct reply reply = ask((struct request){.path = "/api/state"});
    json_t *state = json_loadb(reply.text, reply.size, 0, NULL);
    cr_assert(state);
    json_t *all = json_object_get(state, "curves");
    cr_assert_eq(json_array_size(all), 2);
    json_t *points = json_object_get(json_array_get(all, 0), "points");
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(all, 0), "name")), "lo\"ss");
    cr_assert(json_is_null(json_array_get(json_array_get(points, 0), 1)));
    cr_assert_eq(json_real_value(json_array_get(json_array_get(points, 1), 1)), 0.25);
    cr_assert_eq(json_array_size(json_array_get(json_object_get(state, "history"), 0)), 5);
    cr_assert_eq(json_array_size(json_object_get(state, "settings")), 1);
    json_decref(state);
    free(reply.own);
    reply = ask((struct request){.path = "/api/state", .curves = "0"});
    state = json_loadb(reply.text, reply.size, 0, NULL);
    cr_assert_not(json_object_get(state, "curves"));
    cr_assert_eq(json_integer_value(json_object_get(state, "curves_version")), 3);
    json_decref(state);
    free(reply.own);
}

Test(formats, both_formats_of_the_metrics, .init = setup, .fini = teardown)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    participant_manager_options_init(&options);
    options.listen = "local:formats";
    options.on_warning = NULL;
    cr_assert_eq(participant_manager_start(&options, &manager, NULL), MUSTER_OK);
    cr_assert_eq(muster__sources_add_manager(&sources, "a \"quoted\"\nname", manager, NULL), MUSTER_OK);
    muster__curves_histogram(curves, "times", &(struct muster_histogram){1, 0.5, {[9] = 1}});
    struct reply reply = ask((struct request){.path = "/metrics"});
    cr_assert(strstr(reply.type, "0.0.4"));
    cr_assert(strstr(reply.text, "# TYPE muster_turns_total counter\n"));
    cr_assert(
        strstr(reply.text, "\nmuster_turns_total{manager=\"a \\\"quoted\\\"\\nname\",status=\"OK\"} 0\n"));
    cr_assert(strstr(reply.text,
                     "muster_turn_seconds_bucket{manager=\"a \\\"quoted\\\"\\nname\",le=\"+Inf\"} 0\n"));
    cr_assert(strstr(reply.text, "\nmuster_histogram_bucket{name=\"times\",le=\"0.256\"} 0\n"
                                 "muster_histogram_bucket{name=\"times\",le=\"0.512\"} 1\n"));
    cr_assert(strstr(reply.text, "\nmuster_histogram_sum{name=\"times\"} 0.5\n"));
    cr_assert_not(strstr(reply.text, "# EOF"));
    free(reply.own);
    reply = ask((struct request){.path = "/metrics", .accept = "application/openmetrics-text;version=1.0.0"});
    cr_assert(strstr(reply.type, "openmetrics"));
    cr_assert(strstr(reply.text, "# TYPE muster_turns counter\n"));
    cr_assert(strstr(reply.text, "\nmuster_turns_total{"));
    cr_assert_str_eq(reply.text + reply.size - 6, "# EOF\n");
    free(reply.own);
    muster__sources_remove(&sources, manager);
    participant_manager_free(manager);
}

Test(formats, groups, .init = setup, .fini = teardown, .timeout = 120)
{
    struct muster_coordinator_options coordinator_options;
    struct muster_coordinator *coordinator;
    struct muster_group_options options;
    struct muster_group *group;
    muster_coordinator_options_init(&coordinator_options);
    coordinator_options.listen = "local:formats-coordinator";
    cr_assert_eq(muster_coordinator_start(&coordinator_options, &coordinator, NULL), MUSTER_OK);
    muster_group_options_init(&options);
    options.members = 1;
    options.name = "<b>\"ada\"";
    struct muster_error error;
    cr_assert_eq(muster_group_join("local:formats-coordinator", &options, &group, &error), MUSTER_OK, "%s",
                 error.text);
    cr_assert_eq(muster__sources_add_group(&sources, "a \"quoted\"\nname", group, NULL), MUSTER_OK);
    struct reply reply = ask((struct request){.path = "/metrics"});
    cr_assert(
        strstr(reply.text,
               "\nmuster_group_members{group=\"a \\\"quoted\\\"\\nname\",rank=\"0\",state=\"present\"} 1\n"));
    cr_assert(strstr(reply.text, "\nmuster_group_epoch{group=\"a \\\"quoted\\\"\\nname\",rank=\"0\"} 1\n"));
    cr_assert(strstr(reply.text, "\nmuster_group_peer_series_left_out 0\n"));
    free(reply.own);
    reply = ask((struct request){.path = "/metrics", .accept = "application/openmetrics-text"});
    cr_assert(strstr(reply.text, "# TYPE muster_group_traffic_bytes counter\n"));
    free(reply.own);
    reply = ask((struct request){.path = "/api/state"});
    json_t *state = json_loadb(reply.text, reply.size, 0, NULL);
    json_t *one = json_array_get(json_object_get(state, "groups"), 0);
    json_t *member = json_array_get(json_object_get(one, "members"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(member, "name")), "<b>\"ada\"");
    cr_assert_str_eq(json_string_value(json_object_get(member, "state")), "present");
    cr_assert_eq(json_array_size(json_object_get(one, "views")), 1);
    json_decref(state);
    free(reply.own);
    muster__sources_remove(&sources, group);
    muster_group_free(group);
    muster_coordinator_free(coordinator);
}

/* Counts the pieces that are written while nobody could add a point. */
static size_t pieces, locked;

static ssize_t take_piece(void *cookie, const char *bytes, size_t size)
{
    (void)cookie;
    (void)bytes;
    pieces++;
    if (pthread_mutex_trylock(&curves->lock) == 0)
        pthread_mutex_unlock(&curves->lock);
    else
        locked++;
    return (ssize_t)size;
}

Test(formats, points_can_be_added_while_curves_are_written, .init = setup, .fini = teardown)
{
    const struct state_query query = muster__state_query();
    struct look look;
    FILE *out = fopencookie(NULL, "w", (cookie_io_functions_t){.write = take_piece});
    setvbuf(out, NULL, _IONBF, 0);
    for (uint64_t step = 0; step < 600; step++)
        muster__curves_scalar(curves, step, "loss", 0.1);
    muster__look_begin(&look, &sources, true);
    muster__state_write(out, &query, &look, curves, 1);
    muster__look_end(&look);
    fclose(out);
    cr_assert_gt(pieces, 300);
    cr_assert_eq(locked, 0);
}
