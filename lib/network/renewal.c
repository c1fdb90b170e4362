/*
 * Credentials over time: their files are looked at where they are about to be used, and read again when one
 * has changed. What is worth a warning waits until somebody may call the user's code.
 */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "callback.h"
#include "network/credentials.h"
#include "status.h"

#define LOOK_INTERVAL_MS 1000

/* Within so many days of its end a certificate is warned of. */
#define DAYS_BEFORE 14
#define DAY_MS      ((int64_t)86400000)
#define DAY_SECONDS 86400

/* Guessing shorter ones takes no more than patience. */
#define TOKEN_SIZE_LEAST    16
#define TOKEN_VARIETY_LEAST 6

/* ---- warnings ---- */

void muster__credentials_warn(struct credentials *credentials, const char *format, ...)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    pthread_mutex_lock(&credentials->lock);
    if (credentials->warning_count < CREDENTIAL_WARNINGS)
        muster_text_harmless(text, credentials->warnings[credentials->warning_count++], sizeof(text));
    pthread_mutex_unlock(&credentials->lock);
}

void muster__credentials_tell(struct credentials *credentials)
{
    if (!credentials)
        return;
    char warnings[CREDENTIAL_WARNINGS][MUSTER_ERROR_TEXT_SIZE];
    pthread_mutex_lock(&credentials->lock);
    size_t count = credentials->warning_count;
    memcpy(warnings, credentials->warnings, count * sizeof(warnings[0]));
    credentials->warning_count = 0;
    pthread_mutex_unlock(&credentials->lock);
    for (size_t i = 0; i < count; i++)
        muster__callback_warn(credentials->on_warning, credentials->context, warnings[i]);
}

static void warn_of_end(struct credentials *credentials, const char *what, const char *path, time_t until)
{
    time_t now = time(NULL);
    struct tm parts;
    char date[32] = "";
    if (until == 0 || until - now > (time_t)DAYS_BEFORE * DAY_SECONDS || !gmtime_r(&until, &parts))
        return;
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &parts);
    muster__credentials_warn(credentials,
                             "the %s '%.160s' %s on %s: put a new one in its place, which is used from then "
                             "on without a new start",
                             what, path, until <= now ? "has run out" : "runs out", date);
}

static void warn_of_ends(struct credentials *credentials, const struct keys *keys)
{
    warn_of_end(credentials, "certificate in", credentials->files.certificate, keys->certificate_until);
    warn_of_end(credentials, "last authority in", credentials->files.ca, keys->ca_until);
}

static void warn_of_token(struct credentials *credentials, const struct keys *keys)
{
    if (!keys->token || (keys->token_size >= TOKEN_SIZE_LEAST && keys->token_variety >= TOKEN_VARIETY_LEAST))
        return;
    muster__credentials_warn(credentials,
                             "the token in '%.160s' is easy to guess, as it has %zu characters, %zu of them "
                             "different: make one of %d at random, with 'openssl rand -hex 16' for instance",
                             credentials->files.token_file, keys->token_size, keys->token_variety,
                             2 * TOKEN_SIZE_LEAST);
}

void muster__credentials_remind(struct credentials *credentials, int64_t now)
{
    if (!credentials)
        return;
    pthread_mutex_lock(&credentials->lock);
    bool due = credentials->reminded_at == 0 || now - credentials->reminded_at >= DAY_MS;
    bool first = credentials->reminded_at == 0; /* loading has just said it */
    if (due)
        credentials->reminded_at = now;
    pthread_mutex_unlock(&credentials->lock);
    if (due && !first) {
        struct keys *keys = muster__credentials_keys(credentials);
        warn_of_ends(credentials, keys);
        muster__keys_release(keys);
    }
    muster__credentials_tell(credentials);
}

/* ---- files ---- */

static void look_at(const char *path, struct file_state *state)
{
    struct stat found;
    memset(state, 0, sizeof(*state));
    if (!path || stat(path, &found) != 0 || !S_ISREG(found.st_mode))
        return; /* a pipe changes as it is read, and reading it again might wait for ever */
    *state = (struct file_state){
        .device = (int64_t)found.st_dev,
        .inode = (int64_t)found.st_ino,
        .size = found.st_size,
        .modified_s = found.st_mtim.tv_sec,
        .modified_ns = found.st_mtim.tv_nsec,
        .changed_s = found.st_ctim.tv_sec,
        .changed_ns = found.st_ctim.tv_nsec,
    };
}

/* With `reading` held. True: one has changed since the last time. */
static bool look_at_all(struct credentials *credentials)
{
    const char *const paths[CREDENTIAL_FILES] = {credentials->files.certificate, credentials->files.key,
                                                 credentials->files.ca, credentials->files.token_file};
    struct file_state states[CREDENTIAL_FILES];
    for (size_t i = 0; i < CREDENTIAL_FILES; i++)
        look_at(paths[i], &states[i]);
    bool changed = memcmp(states, credentials->states, sizeof(states)) != 0;
    memcpy(credentials->states, states, sizeof(states));
    return changed;
}

/* Reads them and uses what was read, if it is in order. With `reading` held. */
static enum muster_status read_all(struct credentials *credentials, struct muster_error *error)
{
    struct keys *keys;
    enum muster_status status = muster__keys_load(&credentials->files, &keys, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&credentials->lock);
    struct keys *former = credentials->keys;
    keys->version = former ? former->version + 1 : 1;
    credentials->keys = keys;
    pthread_mutex_unlock(&credentials->lock);
    muster__keys_release(former);
    warn_of_ends(credentials, keys);
    warn_of_token(credentials, keys);
    return MUSTER_OK;
}

void muster__credentials_look(struct credentials *credentials)
{
    struct muster_error error;
    if (!credentials)
        return;
    int64_t now = muster__clock_now();
    pthread_mutex_lock(&credentials->lock);
    bool due = now - credentials->looked_at >= LOOK_INTERVAL_MS;
    if (due)
        credentials->looked_at = now;
    pthread_mutex_unlock(&credentials->lock);
    if (!due || pthread_mutex_trylock(&credentials->reading) != 0)
        return;
    bool changed = look_at_all(credentials);
    if (changed || credentials->unread)
        credentials->unread = read_all(credentials, &error) != MUSTER_OK;
    if (changed && credentials->unread)
        muster__credentials_warn(credentials, "what was read before stays in use: %.400s", error.text);
    pthread_mutex_unlock(&credentials->reading);
}

enum muster_status muster__credentials_reload(struct credentials *credentials, struct muster_error *error)
{
    if (!credentials)
        return MUSTER_OK;
    pthread_mutex_lock(&credentials->reading);
    look_at_all(credentials);
    enum muster_status status = read_all(credentials, error);
    credentials->unread = false; /* the caller is told, and says when again */
    pthread_mutex_unlock(&credentials->reading);
    return status;
}

struct keys *muster__credentials_keys(struct credentials *credentials)
{
    pthread_mutex_lock(&credentials->lock);
    struct keys *keys = credentials->keys;
    atomic_fetch_add_explicit(&keys->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&credentials->lock);
    return keys;
}

/* ---- lifetime ---- */

/* False: out of memory. */
static bool copy(const char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

static struct credentials *credentials_new(const struct muster_credentials *files, enum credentials_side side)
{
    struct credentials *credentials = calloc(1, sizeof(*credentials));
    if (!credentials)
        return NULL;
    pthread_mutex_init(&credentials->reading, NULL);
    pthread_mutex_init(&credentials->lock, NULL);
    credentials->files.tls = files->tls;
    credentials->tls = files->tls || files->certificate || files->ca;
    credentials->asks = side == OF_SERVER && (files->ca || files->token_file);
    if (copy(&credentials->files.certificate, files->certificate) &&
        copy(&credentials->files.key, files->key) && copy(&credentials->files.ca, files->ca) &&
        copy(&credentials->files.token_file, files->token_file))
        return credentials;
    muster__credentials_free(credentials);
    return NULL;
}

enum muster_status muster__credentials_load(const struct muster_credentials *files,
                                            enum credentials_side side,
                                            void (*on_warning)(void *context, const char *text),
                                            void *context, struct credentials **loaded,
                                            struct muster_error *error)
{
    *loaded = NULL;
    enum muster_status status = muster__credentials_check(files, side, error);
    if (status != MUSTER_OK || !(files->tls || files->certificate || files->ca || files->token_file))
        return status;
    struct credentials *credentials = credentials_new(files, side);
    if (!credentials)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    credentials->on_warning = on_warning;
    credentials->context = context;
    status = muster__credentials_reload(credentials, error);
    if (status == MUSTER_OK)
        *loaded = credentials;
    else
        muster__credentials_free(credentials);
    return status;
}

void muster__credentials_free(struct credentials *credentials)
{
    if (!credentials)
        return;
    free((char *)credentials->files.certificate);
    free((char *)credentials->files.key);
    free((char *)credentials->files.ca);
    free((char *)credentials->files.token_file);
    muster__keys_release(credentials->keys);
    pthread_mutex_destroy(&credentials->reading);
    pthread_mutex_destroy(&credentials->lock);
    free(credentials);
}
