/* An experiment's file: on the first line what --set says, behind it the file. What is read without a mistake is JSON that
 * reads as the same; mistakes are lines that command no terminal. */
#include <config.h>

#include <string.h>

#include "fuzz/fuzz.h"
#include "muster/experiment/mistakes.h"
#include "muster/experiment/tree.h"
#include "muster/experiment/values.h"

/* A key of YAML in a flow is no longer than 1024 characters. */
enum { AGAIN_MAX = 1000 };

static void check_line(void *context, const char *line)
{
    size_t *lines = context;
    ++*lines;
    CHECK(strncmp(line, "file", 4) == 0 || strncmp(line, "--set ", 6) == 0);
    for (; *line != '\0'; line++)
        CHECK((unsigned char)*line >= ' ' && *line != 127);
}

/* YAML takes no DEL, and none of C1; and --set may have added a merge key. */
static bool is_plain(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] >= 127)
            return false;
    }
    return length < AGAIN_MAX && !strstr(text, "<<");
}

static void check_again(struct memory *memory, const struct tree *tree)
{
    struct mistakes mistakes = {.memory = memory, .file = "file"};
    json_t *json = tree_json(tree, true);
    CHECK(json);
    char *text = json_dumps(json, JSON_ENCODE_ANY);
    CHECK(text);
    if (is_plain(text)) {
        const struct tree *again = tree_read(memory, text, strlen(text), &mistakes);
        CHECK(again && mistakes.count == 0);
        json_t *same = tree_json(again, true);
        CHECK(json_equal(json, same));
        json_decref(same);
    }
    free(text);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    struct input line = take_bytes(&input, end ? (size_t)(end - data) : 0);
    take_byte(&input);
    struct memory *memory = memory_new();
    struct mistakes *mistakes = memory_take(memory, 1, sizeof(*mistakes));
    char *assignment = memory_text(memory, line.left ? (const char *)line.at : "", line.left);
    char *text = memory_text(memory, input.left ? (const char *)input.at : "", input.left);
    size_t lines = 0;
    mistakes->memory = memory;
    mistakes->file = "file";
    setenv("A", "1", 1);
    unsetenv("B");
    struct tree *tree = tree_read(memory, text, input.left, mistakes);
    CHECK(tree || mistakes->count > 0);
    if (tree && *assignment != '\0')
        values_assign(memory, tree, assignment, mistakes);
    if (tree)
        values_from_environment(memory, tree, mistakes);
    if (tree && mistakes->count == 0)
        check_again(memory, tree);
    mistakes_tell(mistakes, check_line, &lines);
    CHECK(lines >= (mistakes->count > 0));
    memory_free(memory);
    return 0;
}
