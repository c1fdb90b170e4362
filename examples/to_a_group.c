/*
 * The same training without a server: each member keeps the weight, and all take the mean together.
 *
 *     ./to_a_group coordinate 127.0.0.1:8090 3 NUMBER    the first of three members, with the coordinator
 *     ./to_a_group join 127.0.0.1:8090 3 NUMBER          the two others
 */
#include <muster/muster.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 20, LIMIT_MS = 60000 };

static void check(enum muster_status status, const struct muster_error *error)
{
    if (status == MUSTER_OK)
        return;
    fprintf(stderr, "%s\n", error->text); /* it names the rank that was missing */
    exit(EXIT_FAILURE);
}

static struct muster_array view(const double *weight)
{
    return (struct muster_array){.dtype = MUSTER_FLOAT64, .data = weight};
}

static void take_part(const char *coordinator, uint32_t members, double number)
{
    struct muster_group_options options;
    struct muster_group *group;
    struct muster_error error;
    double weight = 0;
    muster_group_options_init(&options);
    options.members = members;
    check(muster_group_join(coordinator, &options, &group, &error), &error);
    for (int round = 0; round < ROUNDS; round++) {
        struct muster_array array = view(&weight);
        weight += 0.5 * (number - weight); /* training */
        check(muster_group_all_reduce(group, MUSTER_MEAN, 1, &array, 1, LIMIT_MS, &error), &error);
    }
    printf("rank %u of %u: the weight is %.3f\n", (unsigned)muster_group_rank(group),
           (unsigned)muster_group_size(group), weight);
    check(muster_group_leave(group, LIMIT_MS, &error), &error);
    muster_group_free(group);
}

static void coordinate(const char *address, uint32_t members, double number)
{
    struct muster_coordinator_options options;
    struct muster_coordinator *coordinator;
    struct muster_error error;
    char own[32];
    muster_coordinator_options_init(&options);
    options.listen = address;
    check(muster_coordinator_start(&options, &coordinator, &error), &error);
    printf("coordinating on port %u\n", (unsigned)muster_coordinator_port(coordinator));
    fflush(stdout);
    snprintf(own, sizeof(own), "127.0.0.1:%u", (unsigned)muster_coordinator_port(coordinator));
    take_part(own, members, number);
    check(muster_coordinator_wait(coordinator, "default", LIMIT_MS, &error), &error); /* the others leave */
    muster_coordinator_free(coordinator);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "coordinate") == 0)
        coordinate(argv[2], (uint32_t)atoi(argv[3]), atof(argv[4]));
    else if (argc == 5 && strcmp(argv[1], "join") == 0)
        take_part(argv[2], (uint32_t)atoi(argv[3]), atof(argv[4]));
    else
        return fputs("usage: to_a_group coordinate ADDRESS MEMBERS NUMBER | join ADDRESS MEMBERS NUMBER\n",
                     stderr),
               2;
    return EXIT_SUCCESS;
}
