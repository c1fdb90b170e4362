/* Reading the conversation: after a line "P  words" or "S  words" stand the bytes of a message in lines of hexadecimal
   numbers, of which the empty message has none. */
#include <config.h>

#include <criterion/criterion.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "support/conversation.h"

static const float weights[] = {1, 2}, trained[] = {1.5, 2.5};
static const struct muster_array model = {MUSTER_FLOAT32, 1, {2}, weights};
static const struct muster_array update = {MUSTER_FLOAT32, 1, {2}, trained};
static const struct muster_scalar rate = {"lr", 0.5}, samples = {"num_samples", 10},
                                  accuracy = {"accuracy", 0.75};

const struct muster_message conversation_train = {
    .kind = MUSTER_TRAIN, .arrays = &model, .array_count = 1, .scalars = &rate, .scalar_count = 1};
const struct muster_message conversation_result = {
    .kind = MUSTER_TRAIN, .arrays = &update, .array_count = 1, .scalars = &samples, .scalar_count = 1};
const struct muster_message conversation_ping = {
    .kind = MUSTER_APPLICATION, .type = "example.ping", .data = "hi", .size = 2};
const struct muster_message conversation_evaluate = {.kind = MUSTER_EVALUATE, .arrays = NULL};
const struct muster_message conversation_score = {
    .kind = MUSTER_EVALUATE, .scalars = &accuracy, .scalar_count = 1};
const struct muster_message conversation_failure = {.kind = MUSTER_FAILURE, .code = 2, .text = "no data"};

static void read_bytes(struct spoken *spoken, const char *line)
{
    unsigned byte;
    int length;
    for (; sscanf(line, " %2x%n", &byte, &length) == 1; line += length) {
        cr_assert_lt(spoken->size, RECORD_BYTES);
        spoken->bytes[spoken->size++] = (uint8_t)byte;
    }
}

struct conversation conversation_read(void)
{
    struct conversation conversation = {0};
    struct spoken *spoken = NULL;
    char line[512];
    bool inside = false;
    FILE *file = fopen(CONVERSATION, "re");
    cr_assert_not_null(file, "%s", CONVERSATION);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, "```", 3) == 0)
            inside = strcmp(line, "```conversation\n") == 0;
        else if (inside && strncmp(line, "P  ", 3) == 0)
            spoken = &conversation.participant[conversation.participant_count++];
        else if (inside && strncmp(line, "S  ", 3) == 0)
            spoken = &conversation.server[conversation.server_count++];
        else if (inside && spoken && isspace((unsigned char)line[0]))
            read_bytes(spoken, line);
        cr_assert(conversation.participant_count < SPOKEN_MAX && conversation.server_count < SPOKEN_MAX);
    }
    fclose(file);
    return conversation;
}

static void print_bytes(const struct received *received)
{
    for (size_t i = 0; i < received->size && i < RECORD_BYTES; i++)
        fprintf(stderr, "%s%02x", i % 24 == 0 ? "\n   " : " ", received->bytes[i]);
    fprintf(stderr, "\n");
}

void conversation_expect(struct peer *peer, const struct spoken *expected, size_t count)
{
    bool same = peer->count == count;
    for (size_t i = 0; i < peer->count; i++) {
        bool equal = i < count && peer->messages[i].size == expected[i].size &&
                     memcmp(peer->messages[i].bytes, expected[i].bytes, expected[i].size) == 0;
        if (!equal)
            fprintf(stderr, "message %zu has these bytes:", i + 1);
        if (!equal)
            print_bytes(&peer->messages[i]);
        same = same && equal;
    }
    cr_assert(same, "%zu messages came, and %zu are in %s", peer->count, count, CONVERSATION);
}
