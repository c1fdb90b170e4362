/* libcurl asks, if this build has it. */
#include <config.h>

#include "monitor_client.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "common/units.h"

#ifdef HAVE_RECORD
#include <curl/curl.h>

enum { LIMIT_MS = 5000, STATE_MAX = 1 << 26, TOKEN_SIZE = 1024 };

struct reply {
    char *text;
    size_t size;
};

static size_t take(char *bytes, size_t one, size_t count, void *context)
{
    struct reply *reply = context;
    (void)one;
    char *longer = reply->size + count < STATE_MAX ? realloc(reply->text, reply->size + count + 1) : NULL;
    if (!longer)
        return 0;
    memcpy(longer + reply->size, bytes, count);
    reply->text = longer;
    reply->size += count;
    longer[reply->size] = '\0';
    return count;
}

/* The path of a file of the credentials; NULL: there is none. */
static const char *find_file(const json_t *credentials, const char *key, const char *directory,
                             char path[PATH_MAX])
{
    const char *name = json_string_value(json_object_get(credentials, key));
    if (name)
        snprintf(path, PATH_MAX, "%s%s%s", name[0] != '/' && directory ? directory : "",
                 name[0] != '/' && directory ? "/" : "", name);
    return name ? path : NULL;
}

/* The header that shows the token; "" when there is none. */
static void make_header(const json_t *credentials, const char *directory, char *header, size_t size)
{
    char room[PATH_MAX], token[TOKEN_SIZE] = "";
    const char *path = find_file(credentials, "token_file", directory, room);
    FILE *file = path ? fopen(path, "re") : NULL;
    header[0] = '\0';
    if (file && fgets(token, sizeof(token), file))
        snprintf(header, size, "Authorization: Bearer %.*s", (int)strcspn(token, "\r\n"), token);
    if (file)
        fclose(file);
}

json_t *monitor_client_get(const char *address, const json_t *credentials, const char *directory)
{
    char place[256], header[TOKEN_SIZE + 40], room[PATH_MAX];
    struct reply reply = {NULL, 0};
    CURL *curl = curl_easy_init();
    bool tls = json_object_get(credentials, "tls_cert");
    if (!curl)
        return NULL;
    make_header(credentials, directory, header, sizeof(header));
    struct curl_slist *headers = header[0] != '\0' ? curl_slist_append(NULL, header) : NULL;
    snprintf(place, sizeof(place), "%s://%s/api/state", tls ? "https" : "http", address);
    curl_easy_setopt(curl, CURLOPT_URL, place);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)LIMIT_MS);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply);
    if (tls) {
        /* It is this machine's own address, which the certificate need not have. */
        const char *authority = find_file(credentials, "tls_ca", directory, room);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        curl_easy_setopt(curl, CURLOPT_CAINFO,
                         authority ? authority : find_file(credentials, "tls_cert", directory, room));
    }
    bool got = curl_easy_perform(curl) == CURLE_OK;
    json_t *state = got && reply.text ? json_loadb(reply.text, reply.size, 0, NULL) : NULL;
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(reply.text);
    return state;
}
#else
json_t *monitor_client_get(const char *address, const json_t *credentials, const char *directory)
{
    (void)address, (void)credentials, (void)directory;
    return NULL;
}
#endif

static const json_t *find_row(const json_t *state, const char *name)
{
    const json_t *rows = json_object_get(json_object_get(state, "participants"), "rows");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *own = json_string_value(json_object_get(json_array_get(rows, i), "name"));
        if (own && strcmp(own, name) == 0)
            return json_array_get(rows, i);
    }
    return NULL;
}

/* "rank 3, present": of a member of a group; "" when there is none of this name. */
static void describe_member(const json_t *state, const char *name, char *text, size_t size)
{
    const json_t *groups = json_object_get(state, "groups");
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *members = json_object_get(json_array_get(groups, i), "members");
        for (size_t j = 0; j < json_array_size(members); j++) {
            const json_t *member = json_array_get(members, j);
            const char *own = json_string_value(json_object_get(member, "name"));
            const char *is = json_string_value(json_object_get(member, "state"));
            if (own && is && strcmp(own, name) == 0)
                snprintf(text, size, "rank %lld of its group, %s",
                         (long long)json_integer_value(json_object_get(member, "rank")), is);
        }
    }
}

const char *monitor_client_describe(const json_t *state, const char *name, char *text, size_t size)
{
    const json_t *row = find_row(state, name);
    const char *is = json_string_value(json_object_get(row, "state"));
    char time[UNITS_SIZE];
    text[0] = '\0';
    if (!row || !is) {
        describe_member(state, name, text, size);
        return muster_text_harmless(text, text, size);
    }
    int64_t since_ms = json_integer_value(json_object_get(row, "state_ms"));
    double progress = json_number_value(json_object_get(row, "progress"));
    size_t length = (size_t)snprintf(text, size, "%s for %s", strcmp(is, "open") == 0 ? "connected" : is,
                                     units_time(since_ms, time));
    if (json_object_get(row, "turn") && length < size)
        length += (size_t)snprintf(text + length, size - length, ", works on an instruction");
    if (progress > 0 && length < size)
        length += (size_t)snprintf(text + length, size - length, ", %d %%", units_percent(progress));
    if (json_is_true(json_object_get(row, "silent")) && length < size)
        snprintf(text + length, size - length, ", silent for %s",
                 units_time(json_integer_value(json_object_get(row, "heard_ms")), time));
    return muster_text_harmless(text, text, size);
}
