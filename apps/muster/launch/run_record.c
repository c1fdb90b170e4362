/* Settings decide what a run comes to, or only how it is held: how many rounds, where, and what is shown of it. The latter
 * may change when a run goes on. */
#include <config.h>

#include "run_record.h"

#include <cblas.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <openssl/crypto.h>

#include "common/log.h"
#include "program_sum.h"
#include "run_files.h"
#include "settings/kind.h"

/* Of so many starts it is kept who began them, and when. */
enum { STARTS_MAX = 100, KEY_SIZE = 256, VALUE_SIZE = 60, DEPTH_MAX = 64 };

/* ---- what may change ---- */

/* Of the whole experiment. */
static const char *const free_sections[] = {"name",        "run",     "stop_within", "hosts",
                                            "credentials", "monitor", "record"};
/* In any section. */
static const char *const free_keys[] = {
    "restart", "restarts", "hosts",  "address",   "listen",     "port_file", "directory", "grace",
    "rounds",  "monitor",  "record", "log_level", "log_format", "metrics",   "result",    "state",
};

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

/* What the table of a section's settings says of a key. */
static bool section_lets_change(const char *key)
{
    char section[KEY_SIZE];
    size_t length = strcspn(key, ".");
    snprintf(section, sizeof(section), "%.*s", (int)length, key);
    const struct settings_kind *kind = kind_of_section(section);
    const struct setting *setting = kind ? kind_find(kind, key + length + 1) : NULL;
    return setting && !setting->decides;
}

static bool may_change(const char *key)
{
    const char *last = strrchr(key, '.');
    if (!last)
        return is_one_of(key, free_sections, sizeof(free_sections) / sizeof(*free_sections));
    return is_one_of(last + 1, free_keys, sizeof(free_keys) / sizeof(*free_keys)) || section_lets_change(key);
}

/* ---- differences ---- */

struct comparison {
    char *text;
    size_t size;
    size_t count;
};

static const char *show(const json_t *value, char text[VALUE_SIZE])
{
    if (!value || json_is_null(value))
        return "not set";
    if (json_is_string(value))
        return muster_text_harmless(json_string_value(value), text, VALUE_SIZE);
    char *written =
        json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
    muster_text_harmless(written, text, VALUE_SIZE);
    free(written);
    return text;
}

static void differ(struct comparison *comparison, const char *key, const json_t *there, const json_t *here)
{
    char first[VALUE_SIZE], second[VALUE_SIZE];
    if (comparison->count == 0)
        snprintf(comparison->text, comparison->size, "%s is %s there, %s here", key, show(there, first),
                 show(here, second));
    comparison->count++;
}

static void compare(struct comparison *comparison, const char *key, const json_t *there, const json_t *here,
                    int depth);

static void join(char joined[KEY_SIZE], const char *key, const char *name)
{
    snprintf(joined, KEY_SIZE, "%s%s%s", key, *key != '\0' ? "." : "", name);
}

static void compare_objects(struct comparison *comparison, const char *key, const json_t *there,
                            const json_t *here, int depth)
{
    char inner[KEY_SIZE];
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)there, name, value)
    {
        join(inner, key, name);
        compare(comparison, inner, value, json_object_get(here, name), depth);
    }
    json_object_foreach((json_t *)(uintptr_t)here, name, value)
    {
        join(inner, key, name);
        if (!json_object_get(there, name))
            compare(comparison, inner, NULL, value, depth);
    }
}

static void compare_arrays(struct comparison *comparison, const char *key, const json_t *there,
                           const json_t *here, int depth)
{
    char inner[KEY_SIZE], number[24];
    for (size_t i = 0; i < json_array_size(there) || i < json_array_size(here); i++) {
        snprintf(number, sizeof(number), "%zu", i);
        join(inner, key, number);
        compare(comparison, inner, json_array_get(there, i), json_array_get(here, i), depth);
    }
}

static bool is_same(const json_t *there, const json_t *here)
{
    if (json_is_number(there) && json_is_number(here))
        return json_number_value(there) == json_number_value(here);
    /* "Not set" is one thing, in whatever way it is said. */
    bool nothing = !there || json_is_null(there), nor_here = !here || json_is_null(here);
    return nothing || nor_here ? nothing && nor_here : json_equal(there, here) != 0;
}

static void compare(struct comparison *comparison, const char *key, const json_t *there, const json_t *here,
                    int depth)
{
    if ((*key != '\0' && may_change(key)) || is_same(there, here))
        return;
    if (depth < DEPTH_MAX && json_is_object(there) && json_is_object(here))
        compare_objects(comparison, key, there, here, depth + 1);
    else if (depth < DEPTH_MAX && json_is_array(there) && json_is_array(here))
        compare_arrays(comparison, key, there, here, depth + 1);
    else
        differ(comparison, key, there, here);
}

size_t run_record_differences(const json_t *there, const json_t *here, char *text, size_t size)
{
    struct comparison comparison = {text, size, 0};
    compare(&comparison, "", json_object_get(there, "settings"), json_object_get(here, "settings"), 0);
    return comparison.count;
}

void run_record_compare_programs(const json_t *there, const json_t *here)
{
    const char *path;
    json_t *now, *before;
    json_object_foreach(json_object_get(here, "programs"), path, now)
    {
        before = json_object_get(json_object_get(there, "programs"), path);
        if (before && !json_equal(before, now))
            log_write(LOG_WARNING, "%s is not the file that it was when this run was started before", path);
    }
}

/* ---- what is written ---- */

static json_t *make_versions(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "muster", muster_version(), "openssl",
                     OpenSSL_version(OPENSSL_VERSION), "openblas", openblas_get_config(), "jansson",
                     jansson_version_str(), "zlib", zlibVersion());
}

static json_t *make_start(void)
{
    char host[256] = "", name[256], now[RUN_TIME_SIZE], room[1024], *here = getcwd(NULL, 0);
    struct passwd entry, *user = NULL;
    gethostname(host, sizeof(host) - 1);
    /* The name of a user who is in no list is the number. */
    snprintf(name, sizeof(name), "%lu", (unsigned long)geteuid());
    if (getpwuid_r(geteuid(), &entry, room, sizeof(room), &user) == 0 && user)
        muster_text_harmless(user->pw_name, name, sizeof(name));
    /* Paths of the experiment are as seen from the directory. */
    json_t *start = json_pack("{s:s, s:s, s:s, s:I, s:o*}", "time", run_time_now(now), "host",
                              muster_text_harmless(host, host, sizeof(host)), "user", name, "pid",
                              (json_int_t)getpid(), "directory", here ? json_string(here) : NULL);
    free(here);
    return start;
}

static json_t *make_starts(const json_t *before)
{
    const json_t *old = json_object_get(before, "started");
    json_t *starts = json_array();
    size_t count = json_array_size(old);
    for (size_t i = count < STARTS_MAX ? 0 : count - STARTS_MAX + 1; i < count; i++)
        json_array_append(starts, json_array_get(old, i));
    json_t *start = make_start();
    if (start && json_array_append_new(starts, start) == 0)
        return starts;
    json_decref(starts);
    return NULL;
}

/* Those that this machine runs; a file is looked at once. */
static json_t *make_programs(const struct experiment *experiment)
{
    json_t *programs = json_object();
    for (size_t i = 0; programs && i < experiment->process_count; i++) {
        const struct experiment_process *process = &experiment->processes[i];
        const struct experiment_host *host = &experiment->hosts[process->host];
        if (host->reach == REACH_HERE)
            program_sum_add(programs, process->arguments,
                            process->directory ? process->directory : host->directory);
    }
    return programs;
}

json_t *run_record_new(const struct experiment *experiment, const json_t *before)
{
    json_t *settings = experiment->resolved;
    json_t *seed = json_object_get(settings, "seed");
    return json_pack("{s:s, s:s, s:o, s:o, s:O*, s:o, s:O}", "muster", PACKAGE_VERSION, "name",
                     experiment->name, "library versions", make_versions(), "started", make_starts(before),
                     "seed", seed, "programs", make_programs(experiment), "settings", settings);
}
