/* A plain main for the fuzz targets: runs one on each file that it is given, and on all in the directories.
   Without any, it runs on its own corpus as a part of `make check`, and otherwise on standard input. */
#include <config.h>

#include <dirent.h>
#include <string.h>

#include "fuzz/fuzz.h"

static size_t count;

static void run(FILE *file)
{
    uint8_t *data = NULL;
    size_t size = 0, room = 0;
    do {
        if (size == room)
            data = reallocarray(data, room = room ? 2 * room : 4096, 1);
        CHECK(data);
        size += fread(data + size, 1, room - size, file);
    } while (size == room);
    CHECK(!ferror(file));
    /* As long as the input, so that a tool sees who reads beyond it. */
    uint8_t *exact = malloc(size ? size : 1);
    CHECK(exact);
    memcpy(exact, data, size);
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    count++;
}

static void run_path(const char *path)
{
    struct dirent **entries;
    int found = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        char *inner;
        CHECK(asprintf(&inner, "%s/%s", path, entries[i]->d_name) >= 0);
        if (entries[i]->d_name[0] != '.')
            run_path(inner);
        free(inner);
        free(entries[i]);
    }
    if (found >= 0) {
        free(entries);
        return;
    }
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(2);
    }
    run(file);
    fclose(file);
}

int main(int argc, char **argv)
{
    const char *top = getenv("top_srcdir");
    char *corpus;
    CHECK(asprintf(&corpus, "%s/tests/fuzz/corpus/%s", top ? top : "", basename(argv[0])) >= 0);
    if (argc < 2 && top)
        run_path(corpus);
    else if (argc < 2)
        run(stdin);
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    free(corpus);
    CHECK(count > 0);
    printf("%zu inputs, no finding\n", count);
    return 0;
}
