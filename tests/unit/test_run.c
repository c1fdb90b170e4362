/* Run directories, when nothing fails that is not meant to: what they keep, what they refuse. What becomes of
 * them on a disk that fails is in tests/fault/disk.c. */
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <muster/run.h>

static char folder[] = "/tmp/muster-run-XXXXXX";
static char path[sizeof(folder) + 16];

static void set_up(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/run", folder);
}

static int remove_entry(const char *entry, const struct stat *information, int kind, struct FTW *place)
{
    (void)information;
    (void)kind;
    (void)place;
    return remove(entry);
}

static void tear_down(void)
{
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct muster_run *open_run(const char *configuration)
{
    struct muster_run *run;
    struct muster_error error = {.text = ""};
    cr_assert_eq(muster_run_open(path, configuration, false, &run, &error), MUSTER_OK, "%s", error.text);
    return run;
}

static void expect_not_opened(bool overwrite, enum muster_status expected, const char *text)
{
    struct muster_run *run = (void *)path;
    struct muster_error error = {.text = ""};
    cr_assert_eq(muster_run_open(path, "new", overwrite, &run, &error), expected, "%s", error.text);
    cr_assert_null(run);
    cr_assert(strstr(error.text, text) != NULL, "expected '%s', got '%s'", text, error.text);
    cr_assert_eq(muster_run_open(path, "new", overwrite, &run, NULL), expected);
}

static void commit(struct muster_run *run, uint64_t round, double value, const char *metrics)
{
    const struct muster_named_array state = {"value", {MUSTER_FLOAT64, 0, {0}, &value}};
    struct muster_error error = {.text = ""};
    cr_assert_eq(muster_run_commit(run, round, &state, 1, metrics, &error), MUSTER_OK, "%s", error.text);
    cr_assert_eq(muster_run_round(run), round);
}

static double value_of(const struct muster_run *run)
{
    size_t count;
    const struct muster_named_array *state = muster_run_state(run, &count);
    const struct muster_array *value = muster_npz_find(state, count, "value");
    cr_assert_eq(count, 3);
    cr_assert_not_null(value);
    return *(const double *)value->data;
}

static char *path_in(const char *name)
{
    static char whole[sizeof(path) + 64];
    snprintf(whole, sizeof(whole), "%s/%s", path, name);
    return whole;
}

static bool has(const char *name)
{
    return access(path_in(name), F_OK) == 0;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(path_in(name), "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

static void expect_content(const char *name, const char *expected)
{
    char text[256];
    FILE *file = fopen(path_in(name), "r");
    cr_assert_not_null(file, "%s", name);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    cr_assert_str_eq(text, expected);
}

Test(run, goes_on_where_it_was, .init = set_up, .fini = tear_down)
{
    size_t count;
    struct muster_run *run = open_run("{}\n");
    cr_assert_eq(muster_run_round(run), 0);
    cr_assert_null(muster_run_state(run, &count));
    cr_assert_eq(count, 0);
    commit(run, 1, 1.5, "a,b\n1,2\n");
    commit(run, 2, 2.5, "3,4\n");
    muster_run_close(run);
    run = open_run("another");
    cr_assert_eq(muster_run_round(run), 2);
    cr_assert_str_eq(muster_run_configuration(run), "{}\n");
    cr_assert_float_eq(value_of(run), 2.5, 0);
    commit(run, 3, 3.5, "");
    cr_assert_null(muster_run_state(run, &count));
    muster_run_close(run);
    expect_content("metrics.csv", "a,b\n1,2\n3,4\n");
    expect_content("muster-run.json", "{}\n");
    muster_run_close(NULL);
}

Test(run, keeps_the_last_rounds_only, .init = set_up, .fini = tear_down)
{
    struct muster_run *run = open_run("x");
    for (uint64_t round = 1; round <= 5; round++)
        commit(run, 10 * round, 0, "");
    cr_assert_not(has("round-00000020.npz"));
    cr_assert(has("round-00000030.npz"));
    cr_assert(has("round-00000050.npz"));
    muster_run_close(run);
    put("round-00000007.npz", ""); /* a removal that failed */
    put("round-7.npz", "");        /* not one of ours */
    run = open_run("x");
    cr_assert_eq(muster_run_round(run), 50);
    cr_assert_not(has("round-00000007.npz"));
    cr_assert(has("round-7.npz"));
    muster_run_close(run);
}

Test(run, tidies_up_what_a_killed_process_left, .init = set_up, .fini = tear_down)
{
    struct muster_run *run = open_run("x");
    commit(run, 1, 0, "one\n");
    muster_run_close(run);
    put("metrics.csv", "one\ntwo, but not all of");
    put(".muster-1-1", "half a round");
    muster_run_close(open_run("x"));
    expect_content("metrics.csv", "one\n");
    cr_assert_not(has(".muster-1-1"));
}

Test(run, begins_in_an_empty_directory_with_any_number_of_slashes, .init = set_up, .fini = tear_down)
{
    struct muster_run *run;
    cr_assert_eq(mkdir(path, 0700), 0);
    strcat(path, "//");
    run = open_run("x");
    muster_run_close(run);
    path[strlen(path) - 2] = '\0';
    cr_assert(has("muster-run.json"));
    /* Killed before there was a configuration. */
    cr_assert_eq(unlink(path_in("muster-run.json")), 0);
    put(".muster-1-1", "half a configuration");
    muster_run_close(open_run("y"));
    expect_content("muster-run.json", "y");
}

Test(run, leaves_alone_what_is_no_run, .init = set_up, .fini = tear_down)
{
    cr_assert_eq(mkdir(path, 0700), 0);
    put("metrics.csv", "somebody's");
    expect_not_opened(false, MUSTER_EXISTS, "there are files here, but no run");
    expect_not_opened(true, MUSTER_EXISTS, "there are files here, but no run");
    expect_content("metrics.csv", "somebody's");
    cr_assert_not(has("lock"));
    snprintf(path, sizeof(path), "%s", "/dev/null");
    expect_not_opened(false, MUSTER_IO, "opening the directory: Not a directory");
    snprintf(path, sizeof(path), "%s", "/nowhere/x");
    expect_not_opened(false, MUSTER_IO, "making the directory: No such file");
}

Test(run, only_one_process_has_it, .init = set_up, .fini = tear_down)
{
    struct muster_run *run = open_run("x");
    expect_not_opened(false, MUSTER_BUSY, "another process has this run open");
    expect_not_opened(true, MUSTER_BUSY, "another process has this run open");
    muster_run_close(run);
    muster_run_close(open_run("x"));
}

Test(run, begins_anew_when_told_to, .init = set_up, .fini = tear_down)
{
    struct muster_run *run = open_run("x");
    for (uint64_t round = 1; round <= 5; round++)
        commit(run, round, 0, "line\n");
    muster_run_close(run);
    put("round-00000001.npz", ""); /* a removal that failed */
    put("notes", "mine");
    cr_assert_eq(muster_run_open(path, "y", true, &run, NULL), MUSTER_OK);
    cr_assert_eq(muster_run_round(run), 0);
    cr_assert_str_eq(muster_run_configuration(run), "y");
    cr_assert_not(has("round-00000001.npz"));
    cr_assert_not(has("round-00000005.npz"));
    cr_assert_not(has("metrics.csv"));
    commit(run, 1, 0, "anew\n");
    muster_run_close(run);
    expect_content("metrics.csv", "anew\n");
    expect_content("notes", "mine");
}

Test(run, takes_another_configuration, .init = set_up, .fini = tear_down)
{
    struct muster_run *run = open_run("x");
    cr_assert_eq(muster_run_configure(run, "y", NULL), MUSTER_OK);
    cr_assert_str_eq(muster_run_configuration(run), "y");
    cr_assert_eq(muster_run_configure(run, "", NULL), MUSTER_INVALID);
    cr_assert_eq(muster_run_configure(run, NULL, NULL), MUSTER_INVALID);
    muster_run_close(run);
    expect_content("muster-run.json", "y");
}

Test(run, refuses_what_makes_no_sense, .init = set_up, .fini = tear_down)
{
    double value = 0;
    const struct muster_named_array twice[] = {{"round", {MUSTER_FLOAT64, 0, {0}, &value}}};
    struct muster_run *run = open_run("x");
    commit(run, 2, 0, "two\n");
    struct muster_error error;
    cr_assert_eq(muster_run_commit(run, 2, twice, 1, "", &error), MUSTER_INVALID);
    cr_assert_eq(muster_run_commit(run, UINT64_MAX, twice, 1, "", NULL), MUSTER_INVALID);
    cr_assert_eq(muster_run_commit(run, 3, twice, 0, "", NULL), MUSTER_INVALID);
    cr_assert_eq(muster_run_commit(run, 3, twice, 1, "three\n", &error), MUSTER_INVALID);
    cr_assert(strstr(error.text, "one name") != NULL, "%s", error.text);
    commit(run, 3, 0, "3\n"); /* and nothing of that is left */
    muster_run_close(run);
    expect_content("metrics.csv", "two\n3\n");
    cr_assert_eq(muster_run_open(path, "", false, &run, NULL), MUSTER_INVALID);
    cr_assert_eq(muster_run_open("", "x", false, &run, NULL), MUSTER_INVALID);
    cr_assert_eq(muster_run_open(NULL, "x", false, &run, NULL), MUSTER_INVALID);
}

Test(run, tells_what_is_damaged, .init = set_up, .fini = tear_down)
{
    const int64_t number = 9;
    const struct muster_named_array other[] = {{"round", {MUSTER_INT64, 0, {0}, &number}},
                                               {"metrics_size", {MUSTER_INT64, 0, {0}, &number}}};
    struct muster_run *run = open_run("x");
    commit(run, 1, 0, "one\n");
    commit(run, 2, 0, "two\n");
    muster_run_close(run);
    put("round-00000002.npz", "");
    expect_not_opened(false, MUSTER_FORMAT, "run/round-00000002.npz: ");
    cr_assert_eq(muster_npz_write(path_in("round-00000002.npz"), other, 2, NULL), MUSTER_OK);
    expect_not_opened(false, MUSTER_FORMAT, "not the state after that round");
    cr_assert_eq(muster_npz_write(path_in("round-00000002.npz"), other, 1, NULL), MUSTER_OK);
    expect_not_opened(false, MUSTER_FORMAT, "not the state after that round");
    cr_assert_eq(unlink(path_in("round-00000002.npz")), 0);
    run = open_run("x");
    cr_assert_eq(muster_run_round(run), 1);
    put("metrics.csv", "on");
    cr_assert_eq(muster_run_commit(run, 2, other, 1, "", NULL), MUSTER_FORMAT);
    muster_run_close(run);
    expect_not_opened(false, MUSTER_FORMAT, "metrics.csv: lines of completed rounds are missing");
    cr_assert_eq(truncate(path_in("muster-run.json"), 2 << 20), 0);
    expect_not_opened(false, MUSTER_FORMAT, "muster-run.json: it is too long");
    cr_assert_eq(muster_run_open(path, "y", true, &run, NULL), MUSTER_OK);
    muster_run_close(run);
}
