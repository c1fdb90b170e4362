/* Who may ask the monitor: hosts, tokens, and the files of tokens. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/access.h"

static char *hosts[] = {(char *)"monitor.example.org"};

static bool good(const char *header)
{
    return muster__host_is_good(header, hosts, 1);
}

Test(access, hosts_of_this_machine_are_good)
{
    cr_assert(good("localhost"));
    cr_assert(good("LocalHost:8081"));
    cr_assert(good("127.0.0.1:8081"));
    cr_assert(good("192.168.1.7"));
    cr_assert(good("[::1]:8081"));
    cr_assert(good("[::1]"));
    cr_assert(good("Monitor.Example.org:443"));
}

Test(access, other_hosts_are_not)
{
    cr_assert_not(good(NULL));
    cr_assert_not(good(""));
    cr_assert_not(good(":8081"));
    cr_assert_not(good("evil.example"));
    cr_assert_not(good("localhost.evil.example"));
    cr_assert_not(good("127.0.0.1.evil.example:8081"));
    cr_assert_not(good("localhost:8081@evil.example"));
    cr_assert_not(good("localhost:80x"));
    cr_assert_not(good("[::1"));
    cr_assert_not(good("[::1]x"));
    cr_assert_not(good("[localhost]"));
    cr_assert_not(good("[]"));
    cr_assert_not(good("::1"));
    char big[1024];
    memset(big, 'a', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    cr_assert_not(good(big));
}

Test(access, the_token_is_shown_in_two_ways)
{
    const char *token = "correct-horse-battery";
    cr_assert(muster__shows_token("Bearer correct-horse-battery", token));
    cr_assert(muster__shows_token("bearer correct-horse-battery", token));
    cr_assert(muster__shows_token("Basic YWRhOmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==", token)); /* ada:... */
    cr_assert(muster__shows_token("Basic OmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==", token));     /* :... */
    cr_assert_not(muster__shows_token(NULL, token));
    cr_assert_not(muster__shows_token("", token));
    cr_assert_not(muster__shows_token("Bearer ", token));
    cr_assert_not(muster__shows_token("Bearer correct-horse-batterx", token));
    cr_assert_not(muster__shows_token("Bearer correct-horse-battery ", token));
    cr_assert_not(muster__shows_token("Bearer correct-horse-batter", token));
    cr_assert_not(muster__shows_token("Bearer correct-horse-batterycorrect-horse-battery", token));
    cr_assert_not(muster__shows_token("Digest correct-horse-battery", token));
    cr_assert_not(muster__shows_token("Basic correct-horse-battery", token));
    cr_assert_not(muster__shows_token("Basic Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5", token)); /* no colon */
    cr_assert_not(muster__shows_token("Basic YWRhOmNvcnJlY3Q=", token));
    cr_assert_not(muster__shows_token("Basic YWRhOmNvcnJlY3Q===", token));
    cr_assert_not(muster__shows_token("Basic YWRh=mNv", token));
    cr_assert_not(muster__shows_token("Basic", token));
}

Test(access, a_token_longer_than_any_is_refused)
{
    enum { SIZE = 20000 };
    char *header = malloc(SIZE);
    memset(header, 'A', SIZE - 1);
    header[SIZE - 1] = '\0';
    memcpy(header, "Basic ", 6);
    cr_assert_not(muster__shows_token(header, "correct-horse-battery"));
    memcpy(header, "Bearer", 6);
    header[6] = ' ';
    cr_assert_not(muster__shows_token(header, "A"));
    free(header);
}

/* What is read of a file that holds that text. */
static enum muster_status read_token(const char *text, size_t size, char **token)
{
    char path[] = "/tmp/muster-token-XXXXXX";
    int file = mkstemp(path);
    struct muster_error error;
    cr_assert(file >= 0 && write(file, text, size) == (ssize_t)size);
    close(file);
    enum muster_status status = muster__token_read(path, token, &error);
    unlink(path);
    return status;
}

Test(access, a_token_is_one_line)
{
    static const char *const bad[] = {"", "\n", "two words\n", "two\nlines\n", "tab\t", "caf\xc3\xa9"};
    char *token, *big = malloc(5000);
    cr_assert_eq(read_token("secret\r\n", 8, &token), MUSTER_OK);
    cr_assert_str_eq(token, "secret");
    free(token);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        cr_assert_eq(read_token(bad[i], strlen(bad[i]), &token), MUSTER_FORMAT);
        cr_assert_not(token);
    }
    cr_assert_eq(read_token("a\0b", 3, &token), MUSTER_FORMAT);
    memset(big, 'a', 5000);
    cr_assert_eq(read_token(big, 5000, &token), MUSTER_FORMAT);
    free(big);
    cr_assert_eq(muster__token_read("/nowhere/at/all", &token, NULL), MUSTER_IO);
}
