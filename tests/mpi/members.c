/*
 * Members of a group, each a rank of its own of one MPI job; tests/mpi/groups.sh starts them with mpirun. Rank 0 has the
 * coordinator, too. The first argument is the coordinator's address, the second how many members there are, and a third one
 * makes it rank 0.
 */
#include <config.h>

#include <muster/coordinator.h>
#include <muster/group.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIG      ((size_t)50000000 / sizeof(float))
#define REDUCED  ((size_t)1000000) /* goes round the ring */
#define TAG      7
#define PATIENCE 60000

#define CHECK(condition) ((condition) ? (void)0 : fail(__LINE__, #condition))

static struct muster_error error; /* of the latest call that failed */

_Noreturn static void fail(int line, const char *condition)
{
    fprintf(stderr, "line %d: %s (%s)\n", line, condition, error.text);
    _exit(EXIT_FAILURE); /* without MPI_Finalize(): mpirun ends the others */
}

/* What a rank sends: no two numbers that are close to each other are equal, nor are two ranks' numbers. */
static float value_at(uint32_t rank, size_t i)
{
    return (float)(i % 1000003) + (float)(1000003 * rank);
}

static float *big_values(uint32_t rank)
{
    float *values = malloc(BIG * sizeof(*values));
    CHECK(values);
    for (size_t i = 0; i < BIG; i++)
        values[i] = value_at(rank, i);
    return values;
}

static void check_big(const struct muster_message *message, uint32_t rank)
{
    CHECK(message->array_count == 1 && muster_array_count(&message->arrays[0]) == BIG);
    const float *values = message->arrays[0].data;
    for (size_t i = 0; i < BIG; i++)
        CHECK((int)values[i] == (int)value_at(rank, i));
}

static struct muster_message message_of(const struct muster_array *array)
{
    struct muster_message message = MUSTER_MESSAGE_INIT;
    message.kind = MUSTER_TRAIN;
    message.arrays = array;
    message.array_count = 1;
    return message;
}

/* The even ranks send to the next one; then each pair exchanges. */
static void meet_in_pairs(struct muster_group *group)
{
    uint32_t rank = muster_group_rank(group), peer = rank ^ 1, source, tag;
    float *values = big_values(rank);
    const struct muster_array array = {MUSTER_FLOAT32, 1, {BIG}, values};
    const struct muster_message message = message_of(&array);
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    if (rank % 2 == 0) {
        CHECK(muster_group_send(group, peer, TAG, &message, PATIENCE, &error) == MUSTER_OK);
    } else {
        CHECK(muster_group_receive(group, MUSTER_ANY_RANK, MUSTER_ANY_TAG, PATIENCE, &answer, &source, &tag,
                                   &error) == MUSTER_OK);
        CHECK(source == peer && tag == TAG);
        check_big(&answer, peer);
        muster_message_clear(&answer);
    }
    CHECK(muster_group_exchange(group, peer, TAG, &message, PATIENCE, &answer, &error) == MUSTER_OK);
    check_big(&answer, peer);
    muster_message_clear(&answer);
    free(values);
}

/* One small array, which goes along the tree, and one that goes round the ring. */
static void reduce(struct muster_group *group, size_t count)
{
    uint32_t size = muster_group_size(group);
    float *values = malloc(count * sizeof(*values));
    CHECK(values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(i % 1000 + muster_group_rank(group));
    const struct muster_array array = {MUSTER_FLOAT32, 1, {count}, values};
    CHECK(muster_group_all_reduce(group, MUSTER_SUM, 1, &array, 1, PATIENCE, &error) == MUSTER_OK);
    for (size_t i = 0; i < count; i++)
        CHECK((size_t)values[i] == size * (i % 1000) + size * (size - 1) / 2);
    free(values);
}

static void be_member(const char *coordinator, uint32_t members)
{
    struct muster_group_options options;
    struct muster_group *group;
    muster_group_options_init(&options);
    options.members = members;
    CHECK(muster_group_join(coordinator, &options, &group, &error) == MUSTER_OK);
    CHECK(muster_group_size(group) == members);
    struct muster_member *roster = muster_group_roster(group, NULL);
    CHECK(roster);
    for (uint32_t i = 0; i < members; i++)
        CHECK(strncmp(roster[i].address, "mpi:", strlen("mpi:")) == 0);
    free(roster);
    meet_in_pairs(group);
    CHECK(muster_group_barrier(group, PATIENCE, &error) == MUSTER_OK);
    reduce(group, 3);
    reduce(group, REDUCED);
    CHECK(muster_group_barrier(group, PATIENCE, &error) == MUSTER_OK);
    CHECK(muster_group_leave(group, PATIENCE, &error) == MUSTER_OK);
    muster_group_free(group);
}

static void coordinate(const char *address, uint32_t members)
{
    struct muster_coordinator_options options;
    struct muster_coordinator *coordinator;
    muster_coordinator_options_init(&options);
    options.listen = address;
    CHECK(muster_coordinator_start(&options, &coordinator, &error) == MUSTER_OK);
    be_member(address, members);
    CHECK(muster_coordinator_wait(coordinator, "default", PATIENCE, &error) == MUSTER_OK);
    muster_coordinator_free(coordinator);
    printf("ok %u members: 50 MB sent, received and exchanged, all_reduce, barrier, leave\n",
           (unsigned)members);
}

int main(int argc, char **argv)
{
    CHECK(argc > 2);
    uint32_t members = (uint32_t)strtoul(argv[2], NULL, 10);
    if (argc > 3)
        coordinate(argv[1], members);
    else
        be_member(argv[1], members);
    return EXIT_SUCCESS;
}
