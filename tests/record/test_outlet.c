/* Files that grow by whole pieces. No file may be bigger than a limit, as if the disk were full. */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "record/outlet.h"

static char path[64];
static struct rlimit unlimited;

static void set_up(void)
{
    snprintf(path, sizeof(path), "/tmp/muster-outlet-XXXXXX");
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    close(file);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &unlimited);
}

static void limit_files(rlim_t size)
{
    struct rlimit limit = {size, unlimited.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void tear_down(void)
{
    setrlimit(RLIMIT_FSIZE, &unlimited);
    signal(SIGXFSZ, SIG_DFL);
    unlink(path);
}

static void expect_content(const char *expected)
{
    char content[64] = "";
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    content[fread(content, 1, sizeof(content) - 1, file)] = '\0';
    fclose(file);
    cr_assert_str_eq(content, expected, "%s", content);
}

Test(outlet, ends_with_a_whole_piece, .init = set_up, .fini = tear_down)
{
    struct outlet outlet;
    struct muster_error error;
    cr_assert_eq(muster__outlet_open(&outlet, path, false, &error), MUSTER_OK);
    cr_assert_eq(muster__outlet_write(&outlet, 0, "first\n", 6, &error), MUSTER_OK);
    limit_files(8);
    cr_assert_eq(muster__outlet_write(&outlet, 6, "second\n", 7, &error), MUSTER_IO);
    cr_assert_not_null(strstr(error.text, "File too large"), "%s", error.text);
    expect_content("first\n");
    limit_files(unlimited.rlim_cur);
    cr_assert_eq(muster__outlet_write(&outlet, outlet.size, "second\n", 7, &error), MUSTER_OK);
    cr_assert_eq(muster__outlet_write(&outlet, 6, "2\n", 2, &error), MUSTER_OK,
                 "shorter than what was there");
    expect_content("first\n2\n");
    muster__outlet_close(&outlet);
}

Test(outlet, goes_on_behind_the_last_line, .init = set_up, .fini = tear_down)
{
    struct outlet outlet;
    struct muster_error error;
    FILE *file = fopen(path, "w");
    fputs("first\nsec", file);
    fclose(file);
    cr_assert_eq(muster__outlet_open(&outlet, path, true, &error), MUSTER_IO, "it is there already");
    muster__outlet_close(&outlet);
    cr_assert_eq(muster__outlet_open(&outlet, path, false, &error), MUSTER_OK);
    cr_assert_eq(muster__outlet_end_line(&outlet, &error), MUSTER_OK);
    cr_assert_eq(outlet.size, 6);
    expect_content("first\n");
    muster__outlet_close(&outlet);
}
