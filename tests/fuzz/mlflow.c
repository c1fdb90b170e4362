/*
 * What MLflow's server answers to a record: each line is an answer, whose first byte says how it comes. The record
 * asks for nothing that is not of MLflow's form, makes one run, tells no harmful text, and is not stopped by anything.
 */
#include <config.h>

#include <stdarg.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>

#include "fuzz/fuzz.h"
#include "record/sink.h"
#include "text.h"

enum { SETTINGS = 3, SCALARS = 20, ENTRIES = SETTINGS + SCALARS + 2, REQUESTS_MAX = 2 * ENTRIES + 4 };

#define API     "http://tracking/base/api/2.0/"
#define MLFLOW  API "mlflow/"
#define PROXIED API "mlflow-artifacts/artifacts/"

/* The one request that runs, and what the record set up for it. */
static struct {
    struct input *answers;
    const char *url;
    const char *method;
    const char *body;
    curl_write_callback take;
    void *taker;
    long status;
    CURLcode result;
    CURLMsg message;
    size_t count;
    bool made; /* the server has said that it made a run */
} now;

/* ---- libcurl, for whom there is no network ---- */

CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO information, ...);
CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode __wrap_curl_multi_remove_handle(CURLM *multi, CURL *easy);
CURLMcode __wrap_curl_multi_perform(CURLM *multi, int *running);
CURLMsg *__wrap_curl_multi_info_read(CURLM *multi, int *left);

/* libcurl copies the URL and the method; the body stays the caller's. */
static void keep(const char **kept, const char *text)
{
    free((void *)(uintptr_t)*kept);
    *kept = strdup(text);
    CHECK(*kept);
}

CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    va_list value;
    (void)easy;
    va_start(value, option);
    if (option == CURLOPT_URL)
        keep(&now.url, va_arg(value, const char *));
    else if (option == CURLOPT_CUSTOMREQUEST)
        keep(&now.method, va_arg(value, const char *));
    else if (option == CURLOPT_POSTFIELDS)
        now.body = va_arg(value, const char *);
    else if (option == CURLOPT_WRITEFUNCTION)
        now.take = va_arg(value, curl_write_callback);
    else if (option == CURLOPT_WRITEDATA)
        now.taker = va_arg(value, void *);
    va_end(value);
    return CURLE_OK;
}

CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO information, ...)
{
    va_list value;
    (void)easy;
    CHECK(information == CURLINFO_RESPONSE_CODE);
    va_start(value, information);
    *va_arg(value, long *) = now.status;
    va_end(value);
    return CURLE_OK;
}

CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    (void)multi;
    (void)easy;
    return CURLM_OK;
}

CURLMcode __wrap_curl_multi_remove_handle(CURLM *multi, CURL *easy)
{
    (void)multi;
    (void)easy;
    return CURLM_OK;
}

CURLMsg *__wrap_curl_multi_info_read(CURLM *multi, int *left)
{
    (void)multi;
    *left = 0;
    now.message = (CURLMsg){.msg = CURLMSG_DONE, .data.result = now.result};
    return &now.message;
}

/* ---- requests and answers ---- */

static bool is(const char *path)
{
    return strcmp(now.url, path) == 0;
}

static void check_url(void)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~/:%?=";
    CHECK(strncmp(now.url, API, strlen(API)) == 0);
    CHECK(strspn(now.url, plain) == strlen(now.url));
}

static bool has_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text && *text;
}

static void check_post(void)
{
    json_t *body = json_loads(now.body, JSON_REJECT_DUPLICATES, NULL);
    CHECK(json_is_object(body));
    if (is(MLFLOW "experiments/create"))
        CHECK(has_text(body, "name"));
    else if (is(MLFLOW "runs/search"))
        CHECK(json_array_size(json_object_get(body, "experiment_ids")) == 1 && has_text(body, "filter"));
    else if (is(MLFLOW "runs/create"))
        CHECK(has_text(body, "experiment_id") && !now.made);
    else if (is(MLFLOW "runs/update"))
        CHECK(has_text(body, "run_id") && has_text(body, "status"));
    else
        CHECK(is(MLFLOW "runs/log-batch") && has_text(body, "run_id"));
    json_decref(body);
}

static void check_request(void)
{
    check_url();
    if (strcmp(now.method, "GET") == 0)
        CHECK(is(MLFLOW "experiments/get-by-name?experiment_name=a%20b%2Fc"));
    else if (strcmp(now.method, "PUT") == 0)
        CHECK(strncmp(now.url, PROXIED, strlen(PROXIED)) == 0);
    else
        check_post();
}

static bool has_run(struct input answer)
{
    json_t *content = json_loadb((const char *)answer.at, answer.left, JSON_REJECT_DUPLICATES, NULL);
    bool has = has_text(json_object_get(json_object_get(content, "run"), "info"), "run_id");
    json_decref(content);
    return has;
}

/* Hands the record what comes, in pieces of its own memory: a tool sees who reads beyond one. */
static void hand(struct input answer, size_t size)
{
    while (answer.left > 0 && now.result == CURLE_OK) {
        struct input piece = take_bytes(&answer, size);
        char *bytes = malloc(piece.left);
        CHECK(bytes);
        memcpy(bytes, piece.at, piece.left);
        if (now.take(bytes, 1, piece.left, now.taker) != piece.left)
            now.result = CURLE_WRITE_ERROR;
        free(bytes);
    }
}

/* An answer is whole, or is cut off, or never ends. */
static void answer_request(void)
{
    static const long statuses[] = {200, 201, 302, 400, 401, 404, 413, 429, 500};
    enum { WHOLE, CUT, ENDLESS, ENDINGS };
    const uint8_t *end = now.answers->left ? memchr(now.answers->at, '\n', now.answers->left) : NULL;
    struct input answer = take_bytes(now.answers, end ? (size_t)(end - now.answers->at) : now.answers->left);
    if (end)
        take_byte(now.answers);
    now.result = answer.left ? CURLE_OK : CURLE_COULDNT_CONNECT;
    if (!answer.left)
        return;
    size_t how = take_byte(&answer), kinds = sizeof(statuses) / sizeof(*statuses);
    how = how >= '0' ? how - '0' : how;
    now.status = statuses[how % kinds];
    hand(answer, how / kinds % ENDINGS == CUT ? 7 : answer.left);
    if (how / kinds % ENDINGS == CUT)
        now.result = CURLE_PARTIAL_FILE;
    while (how / kinds % ENDINGS == ENDLESS && answer.left > 99 && now.result == CURLE_OK)
        hand(answer, answer.left);
    if (is(MLFLOW "runs/create") && now.result == CURLE_OK && now.status < 300 && has_run(answer))
        now.made = true;
}

CURLMcode __wrap_curl_multi_perform(CURLM *multi, int *running)
{
    (void)multi;
    *running = 0;
    CHECK(++now.count <= REQUESTS_MAX);
    check_request();
    answer_request();
    return CURLM_OK;
}

/* ---- the record ---- */

static void check_harmless(const char *text)
{
    uint32_t character;
    for (size_t left = strlen(text), size; left > 0; left -= size, text += size) {
        size = muster__text_read(text, left, &character);
        CHECK(size > 0 && !muster__text_is_harmful(character));
    }
}

static void check_warning(void *context, const char *text)
{
    (void)context;
    CHECK(*text);
    check_harmless(text);
}

static void check_error(enum muster_status status, const struct muster_error *error)
{
    CHECK(status == MUSTER_UNAVAILABLE && error->text[0]);
    check_harmless(error->text);
}

static void make_entries(struct entry *entries[ENTRIES])
{
    size_t count = 0;
    while (count < SETTINGS)
        entries[count++] = muster__entry_new(ENTRY_SETTING, 0, "a:b", 0, "text", NULL);
    while (count < SETTINGS + SCALARS)
        entries[count++] = muster__entry_new(ENTRY_SCALAR, 1, "loss", 0.5, NULL, NULL);
    entries[count++] = muster__entry_new(ENTRY_TEXT, 1, "a/../b", 0, "text", NULL);
    entries[count++] = muster__entry_new(ENTRY_FILE, 1, "a file", 0, "/proc/self/status", NULL);
    for (size_t i = 0; i < count; i++)
        CHECK(entries[i]);
}

/* As the sink's thread does it, for as long as there are answers. */
static void bring(void *state, struct entry **entries)
{
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status = MUSTER_UNAVAILABLE;
    for (size_t done = 0; status != MUSTER_OK && now.answers->left > 0;) {
        size_t taken = 0;
        now.count = 0;
        status = muster__mlflow.write(state, entries + done, ENTRIES - done, &taken, &error);
        done += taken;
        CHECK(done <= ENTRIES && (done == ENTRIES) == (status == MUSTER_OK));
        if (status != MUSTER_OK)
            check_error(status, &error);
    }
    now.count = 0;
    status = muster__mlflow.finish(state, MUSTER_RECORD_FINISHED, &error);
    if (status != MUSTER_OK)
        check_error(status, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct muster_record_options options;
    struct queue queue;
    struct entry *entries[ENTRIES];
    void *state = NULL;
    muster_record_options_init(&options);
    options.experiment = "a b/c";
    options.identity = "it";
    now.answers = &input;
    now.made = false;
    muster__queue_init(&queue, 1, 1 << 20);
    struct sink sink = {.queue = &queue, .text = (char *)(uintptr_t) "mlflow:", .on_warning = check_warning};
    CHECK(muster__mlflow.open(&sink, "http://tracking/base/", &options, &state, NULL) == MUSTER_OK);
    make_entries(entries);
    bring(state, entries);
    for (size_t i = 0; i < ENTRIES; i++)
        muster__entry_free(entries[i]);
    muster__mlflow.leave(state);
    muster__mlflow.close(state);
    muster__queue_destroy(&queue);
    return 0;
}
