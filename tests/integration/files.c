/* The files of a test, visitors with credentials, and what a server tells of them. */
#include <config.h>

#include <criterion/criterion.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "integration/files.h"

char directory[] = DIRECTORY;

void make_files(void)
{
    static const char template[] = DIRECTORY;
    memcpy(directory, template, sizeof(template)); /* it may be another test's */
    cr_assert_not_null(mkdtemp(directory));
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(127);
        execl(TESTS_DIRECTORY "/integration/make_certificates", "make_certificates", directory, (char *)NULL);
        _exit(127);
    }
    cr_assert_eq(reap(pid), 0, "make_certificates failed: is openssl there?");
}

const char *in_directory(const char *name)
{
    static char paths[16][sizeof(directory) + 64];
    static size_t next;
    char *path = paths[next++ % COUNT(paths)];
    if (!name || !*name)
        return NULL;
    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

void remove_files(void)
{
    DIR *files = opendir(directory);
    struct dirent *entry;
    while (files && (entry = readdir(files)))
        unlinkat(dirfd(files), entry->d_name, 0);
    closedir(files);
    rmdir(directory);
}

struct muster_credentials credentials(const char *certificate, const char *ca, const char *token)
{
    struct muster_credentials made = {0};
    char name[64];
    made.ca = in_directory(ca);
    made.token_file = in_directory(token);
    if (certificate) {
        snprintf(name, sizeof(name), "%s.pem", certificate);
        made.certificate = in_directory(name);
        snprintf(name, sizeof(name), "%s.key", strcmp(certificate, "chain") == 0 ? "leaf" : certificate);
        made.key = in_directory(name);
    }
    return made;
}

void door_open_with(struct door *door, struct muster_credentials shown)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.credentials = shown;
    door_open(door, &options);
}

enum muster_status visit(struct door *door, struct muster_credentials shown, const char *name,
                         struct muster_error *error)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    options.name = name;
    options.credentials = shown;
    enum muster_status status = participant_connect(door->address, &options, &participant, error);
    participant_free(participant);
    return status;
}

void expect_refusal(struct door *door, struct muster_credentials shown, const char *name,
                    enum muster_status status, const char *text)
{
    static struct muster_error error;
    cr_assert_eq(visit(door, shown, name, &error), status, "%s: %s", muster_status_name(error.status),
                 error.text);
    cr_assert_not_null(strstr(error.text, text), "%s", error.text);
}

void note_told(void *context, const char *text)
{
    struct told *told = context;
    pthread_mutex_lock(&told->lock);
    if (strstr(text, told->about)) {
        told->count++;
        snprintf(told->text, sizeof(told->text), "%s", text);
        pthread_cond_broadcast(&told->changed);
    }
    pthread_mutex_unlock(&told->lock);
}

size_t times_told(struct told *told)
{
    pthread_mutex_lock(&told->lock);
    size_t count = told->count;
    pthread_mutex_unlock(&told->lock);
    return count;
}

void expect_turn(struct door *door, struct muster_credentials shown, const char *name, const char *called,
                 size_t n)
{
    struct participant_options options;
    participant_options_init(&options);
    struct muster_error error = {MUSTER_OK, ""};
    struct member member;
    options.name = name;
    options.credentials = shown;
    cr_assert_eq(participant_connect(door->address, &options, &member.participant, &error), MUSTER_OK, "%s",
                 error.text);
    cr_assert_str_eq(participant_name(member.participant), called);
    member_run(&member);
    struct proxy *proxy = door_proxy(door, called, n);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    proxy_release(proxy);
    member_stop(&member);
    door_wait(door, PARTICIPANT_MANAGER_LEFT, called, n);
}
