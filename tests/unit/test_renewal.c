/* Files of credentials that change, without a network. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "network/credentials.h"

static char path[] = "/tmp/muster-token-XXXXXX";
static size_t warnings;

static void count_warning(void *context, const char *text)
{
    (void)context;
    (void)text;
    warnings++;
}

static void write_token(const char *token)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(token, file);
    fclose(file);
}

static struct credentials *load(void)
{
    const struct muster_credentials files = {.token_file = path};
    struct credentials *credentials;
    struct muster_error error;
    cr_assert_eq(muster__credentials_load(&files, OF_SERVER, count_warning, NULL, &credentials, &error),
                 MUSTER_OK, "%s", error.text);
    return credentials;
}

/* A second later. */
static void look(struct credentials *credentials)
{
    credentials->looked_at = INT64_MIN / 2;
    muster__credentials_look(credentials);
    muster__credentials_tell(credentials);
}

static unsigned version_of(struct credentials *credentials)
{
    struct keys *keys = muster__credentials_keys(credentials);
    unsigned version = keys->version;
    muster__keys_release(keys);
    return version;
}

Test(renewal, what_could_not_be_read_is_tried_again)
{
    struct rlimit limit;
    close(mkstemp(path));
    write_token("0123456789abcdef-old");
    struct credentials *credentials = load();
    write_token("0123456789abcdef-newer");
    getrlimit(RLIMIT_NOFILE, &limit);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max});
    look(credentials);
    look(credentials);
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_assert_eq(version_of(credentials), 1);
    cr_assert_eq(warnings, 1);
    look(credentials);
    cr_assert_eq(version_of(credentials), 2);
    look(credentials);
    cr_assert_eq(version_of(credentials), 2);
    unlink(path);
    muster__credentials_free(credentials);
}

/* To open it would be to wait for somebody who writes. */
Test(renewal, a_pipe_is_read_once)
{
    close(mkstemp(path));
    unlink(path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    pid_t writer = fork();
    if (writer == 0) {
        write_token("0123456789abcdef-pipe");
        _exit(0);
    }
    struct credentials *credentials = load();
    look(credentials);
    cr_assert_eq(version_of(credentials), 1);
    waitpid(writer, NULL, 0);
    unlink(path);
    muster__credentials_free(credentials);
}

/* A later release may look there for what keeps others out. */
Test(renewal, a_file_that_is_not_known_is_not_ignored)
{
    const struct muster_credentials files = {.reserved = {NULL, "revoked.pem"}};
    struct credentials *credentials;
    struct muster_error error;
    cr_assert_eq(muster__credentials_load(&files, OF_SERVER, NULL, NULL, &credentials, &error),
                 MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "revoked.pem"), "%s", error.text);
}
