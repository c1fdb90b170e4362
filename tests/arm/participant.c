/* A participant for a small machine, of public headers alone. It adds 1 to the numbers of each array, sends an
   application's bytes back, and says what machine it is on when it is to evaluate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

static void add_one(enum muster_dtype dtype, void *data, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (dtype == MUSTER_FLOAT32)
            ((float *)data)[i] += 1;
        else if (dtype == MUSTER_FLOAT64)
            ((double *)data)[i] += 1;
        else if (dtype == MUSTER_INT64)
            ((int64_t *)data)[i] += 1;
    }
}

/* Of each array a copy, which is the caller's. */
static struct muster_array *train(const struct muster_message *instruction)
{
    struct muster_array *trained = calloc(instruction->array_count + 1, sizeof(*trained));
    for (size_t i = 0; trained && i < instruction->array_count; i++) {
        const struct muster_array *array = &instruction->arrays[i];
        size_t count = muster_array_count(array), size = count * muster_dtype_size(array->dtype);
        void *data = malloc(size + 1);
        if (!data)
            abort();
        memcpy(data, array->data, size);
        add_one(array->dtype, data, count);
        trained[i] = *array;
        trained[i].data = data;
    }
    return trained;
}

static enum muster_status answer(struct participant *participant, const struct muster_message *instruction,
                                 struct muster_error *error)
{
    const struct muster_value bits = {
        .name = "bits", .kind = MUSTER_VALUE_INTEGER, .integer = (int64_t)sizeof(size_t) * 8};
    struct muster_message reply = *instruction;
    reply.storage = NULL;
    if (instruction->kind == MUSTER_EVALUATE) {
        reply.values = &bits;
        reply.value_count = 1;
        return participant_dispatch(participant, &reply, error);
    }
    struct muster_array *trained = instruction->kind == MUSTER_TRAIN ? train(instruction) : NULL;
    reply.arrays = trained;
    enum muster_status status = participant_dispatch(participant, &reply, error);
    for (size_t i = 0; i < reply.array_count; i++)
        free((void *)(uintptr_t)trained[i].data);
    free(trained);
    return status;
}

int main(int argc, char **argv)
{
    const struct muster_message *instruction;
    struct participant_options options;
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    participant_options_init(&options);
    options.name = "board";
    options.connect_timeout_ms = options.reconnect_timeout_ms = 100000;
    options.reconnect_first_ms = 1;
    if (argc != 2 || participant_connect(argv[1], &options, &participant, &error) != MUSTER_OK)
        return fprintf(stderr, "%s\n", error.text), 1;
    size_t turns = 0;
    enum muster_status status;
    while ((status = participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error)) == MUSTER_OK &&
           (status = answer(participant, instruction, &error)) == MUSTER_OK)
        turns++;
    printf("%zu turns, then: %s\n", turns, error.text);
    participant_free(participant);
    return status == MUSTER_STOPPED ? 0 : 1; /* the server's good-bye */
}
