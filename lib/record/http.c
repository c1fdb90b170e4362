/* HTTP by libcurl. The multi interface is used for one request at a time, because its wait can be ended. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <curl/curl.h>

#include "file.h"
#include "record/http.h"
#include "status.h"

enum {
    ANSWER_SIZE_MAX = 1 << 20,
    WAIT_MS = 1000,
};

struct http {
    struct sink *sink;
    pthread_mutex_t lock; /* guards when `multi` ends: another thread may wake it */
    CURLM *multi;
    CURL *easy;
    char *base;
    char *bearer; /* a header; NULL: no token */
    int64_t timeout_ms;
    char text[CURL_ERROR_SIZE];
    char *answer; /* of the running request */
    size_t size;
    bool too_big;
};

/* ---- lifetime ---- */

static void curl_begin(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT); /* OpenSSL's own beginning and end are OpenSSL's */
}

static size_t take_answer(char *bytes, size_t one, size_t size, void *context)
{
    (void)one;
    struct http *http = context;
    http->too_big = http->size + size > ANSWER_SIZE_MAX;
    if (http->too_big)
        return 0;
    memcpy(http->answer + http->size, bytes, size);
    http->size += size;
    return size;
}

/* What holds for all requests. False: libcurl does not take it. */
static bool set_up(struct http *http, const struct http_options *options)
{
    CURL *easy = http->easy;
    CURLcode failed = 0;
    failed |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    failed |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* the end waits for no name's resolution */
    failed |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    failed |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->text);
    failed |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
    failed |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
    failed |= curl_easy_setopt(easy, CURLOPT_USERAGENT, "muster/" PACKAGE_VERSION);
    failed |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->timeout_ms);
    if (options->username) {
        failed |= curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        failed |= curl_easy_setopt(easy, CURLOPT_USERNAME, options->username);
        failed |= curl_easy_setopt(easy, CURLOPT_PASSWORD, options->password ? options->password : "");
    }
    if (options->authorities)
        failed |= curl_easy_setopt(easy, CURLOPT_CAINFO, options->authorities);
    if (options->insecure) {
        failed |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        failed |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return failed == CURLE_OK;
}

/* False: out of memory. */
static bool set_bearer(struct http *http, const char *token)
{
    static const char header[] = "Authorization: Bearer ";
    if (!token)
        return true;
    size_t size = sizeof(header) + strlen(token);
    http->bearer = malloc(size);
    if (http->bearer)
        snprintf(http->bearer, size, "%s%s", header, token);
    return http->bearer != NULL;
}

struct http *muster__http_new(struct sink *sink, const struct http_options *options,
                              struct muster_error *error)
{
    static pthread_once_t begun = PTHREAD_ONCE_INIT;
    pthread_once(&begun, curl_begin);
    struct http *http = calloc(1, sizeof(*http));
    if (!http) {
        muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&http->lock, NULL);
    http->sink = sink;
    http->timeout_ms = options->timeout_ms;
    http->base = strdup(options->base);
    http->answer = malloc(ANSWER_SIZE_MAX);
    http->multi = curl_multi_init();
    http->easy = curl_easy_init();
    if (http->base && http->answer && http->multi && http->easy && set_bearer(http, options->token) &&
        set_up(http, options))
        return http;
    muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    muster__http_free(http);
    return NULL;
}

void muster__http_disconnect(struct http *http)
{
    pthread_mutex_lock(&http->lock);
    CURLM *multi = http->multi;
    http->multi = NULL;
    pthread_mutex_unlock(&http->lock);
    curl_easy_cleanup(http->easy);
    http->easy = NULL;
    curl_multi_cleanup(multi);
}

void muster__http_free(struct http *http)
{
    if (!http)
        return;
    muster__http_disconnect(http);
    pthread_mutex_destroy(&http->lock);
    free(http->base);
    free(http->bearer);
    free(http->answer);
    free(http);
}

void muster__http_wake(struct http *http)
{
    pthread_mutex_lock(&http->lock);
    if (http->multi)
        curl_multi_wakeup(http->multi); /* which does not wait */
    pthread_mutex_unlock(&http->lock);
}

/* ---- requests ---- */

/* Runs what is set up, to its end or to that of the sink. */
static CURLcode run(struct http *http)
{
    int running = 1;
    int left;
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    if (curl_multi_add_handle(http->multi, http->easy) != CURLM_OK)
        return CURLE_OUT_OF_MEMORY;
    while (running && !muster__sink_is_abandoned(http->sink)) {
        if (curl_multi_perform(http->multi, &running) != CURLM_OK)
            break;
        if (running)
            curl_multi_poll(http->multi, NULL, 0, WAIT_MS, NULL);
    }
    const CURLMsg *message = curl_multi_info_read(http->multi, &left);
    if (message && message->msg == CURLMSG_DONE)
        result = message->data.result;
    curl_multi_remove_handle(http->multi, http->easy);
    return result;
}

/* Whether the same request may have another answer later. A proxy in front of a server says 404 too, but not
   in MLflow's words. */
static bool passes(long status, const char *code)
{
    return status != 400 && status != 413 && status != 422 && (status != 404 || !*code);
}

static enum muster_status refused(const struct http *http, const char *method, const char *path, long status,
                                  char code[HTTP_CODE_SIZE], struct muster_error *error)
{
    json_t *answer = json_loadb(http->answer, http->size, 0, NULL);
    const char *name = json_string_value(json_object_get(answer, "error_code"));
    const char *why = json_string_value(json_object_get(answer, "message"));
    bool access = status == 401 || status == 403;
    snprintf(code, HTTP_CODE_SIZE, "%s", name ? name : "");
    enum muster_status kind = passes(status, code) ? MUSTER_UNAVAILABLE : MUSTER_INVALID;
    muster__error(error, kind, "the server answered %ld to %s %.60s%s%.80s%s", status, method, path,
                  why ? ": " : "", why ? why : "", access ? " (are the credentials right?)" : "");
    json_decref(answer);
    return kind;
}

static enum muster_status judge(struct http *http, const char *method, const char *path, CURLcode result,
                                json_t **answer, char code[HTTP_CODE_SIZE], struct muster_error *error)
{
    long status = 0;
    if (http->too_big)
        return muster__error(error, MUSTER_UNAVAILABLE, "the server's answer has more than %d bytes",
                             ANSWER_SIZE_MAX);
    if (result == CURLE_OUT_OF_MEMORY)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (result != CURLE_OK)
        return muster__error(error, MUSTER_UNAVAILABLE, "%s (is the server up?)",
                             http->text[0] ? http->text : curl_easy_strerror(result));
    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299)
        return refused(http, method, path, status, code, error);
    if (!answer)
        return MUSTER_OK;
    *answer = json_loadb(http->answer, http->size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(*answer))
        return MUSTER_OK;
    json_decref(*answer);
    *answer = NULL;
    return muster__error(error, MUSTER_UNAVAILABLE, "the server answered %s with no JSON (is this MLflow?)",
                         path);
}

/* Sets the body up; *file is what it is read from. */
static enum muster_status set_body(struct http *http, const struct http_body *body, FILE **file,
                                   struct muster_error *error)
{
    struct stat information;
    *file = NULL;
    if (!body->path) {
        curl_easy_setopt(http->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size);
        curl_easy_setopt(http->easy, CURLOPT_POSTFIELDS, body->bytes);
        curl_easy_setopt(http->easy, CURLOPT_TIMEOUT_MS, (long)http->timeout_ms);
        return MUSTER_OK;
    }
    if (stat(body->path, &information) == 0 && !S_ISREG(information.st_mode))
        return muster__file_error(error, MUSTER_IO, body->path, "this is not a regular file");
    *file = fopen(body->path, "rbe");
    if (!*file || fstat(fileno(*file), &information) != 0)
        return muster__file_errno(error, body->path, "opening");
    curl_easy_setopt(http->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(http->easy, CURLOPT_READDATA, *file);
    curl_easy_setopt(http->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)information.st_size);
    curl_easy_setopt(http->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(http->easy, CURLOPT_LOW_SPEED_TIME, (long)(http->timeout_ms + 999) / 1000);
    curl_easy_setopt(http->easy, CURLOPT_TIMEOUT_MS, 0L);
    return MUSTER_OK;
}

/* The caller frees them; NULL: out of memory. */
static struct curl_slist *make_headers(const struct http *http, const struct http_body *body)
{
    char type[128] = "Accept: application/json";
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:"); /* which waits for a second */
    if (body)
        snprintf(type, sizeof(type), "Content-Type: %.100s", body->type);
    struct curl_slist *more = headers ? curl_slist_append(headers, type) : NULL;
    if (more && http->bearer)
        more = curl_slist_append(headers, http->bearer);
    if (!more)
        curl_slist_free_all(headers);
    return more;
}

static void reset(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 0L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 0L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, 0L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
}

enum muster_status muster__http_request(struct http *http, const char *method, const char *path,
                                        const struct http_body *body, json_t **answer,
                                        char code[HTTP_CODE_SIZE], struct muster_error *error)
{
    FILE *file = NULL;
    enum muster_status status = MUSTER_OK;
    size_t size = strlen(http->base) + strlen(path) + 2;
    char *url = malloc(size);
    struct curl_slist *headers = make_headers(http, body);
    code[0] = '\0';
    http->text[0] = '\0';
    http->size = 0;
    http->too_big = false;
    if (!url || !headers) {
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
        goto cleanup;
    }
    snprintf(url, size, "%s/%s", http->base, path);
    reset(http->easy);
    /* On a connection that was used before, and ends now, libcurl would send it again. */
    curl_easy_setopt(http->easy, CURLOPT_FRESH_CONNECT, body && body->once ? 1L : 0L);
    if (body)
        status = set_body(http, body, &file, error);
    else
        curl_easy_setopt(http->easy, CURLOPT_TIMEOUT_MS, (long)http->timeout_ms);
    if (status != MUSTER_OK)
        goto cleanup;
    curl_easy_setopt(http->easy, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, headers);
    if (curl_easy_setopt(http->easy, CURLOPT_URL, url) == CURLE_OK)
        status = judge(http, method, path, run(http), answer, code, error);
    else
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
cleanup:
    curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (file)
        fclose(file);
    free(url);
    return status;
}

char *muster__http_escape(const char *text, bool keep_slashes)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~/";
    char *escaped = malloc(strlen(text) * 3 + 1);
    char *out = escaped;
    if (!escaped)
        return NULL;
    for (; *text; text++) {
        if (strchr(plain, *text) && (keep_slashes || *text != '/'))
            *out++ = *text;
        else
            out += sprintf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
    *out = '\0';
    return escaped;
}
