/*
 * Ranks of an MPI world, each a process of its own: one is the server, all others take part. The first argument says
 * what the process does; scripts of this folder start them with mpirun.
 */
#include <config.h>

#include <mpi.h>
#include <muster/muster.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS    5
#define SMALL     1000
#define BIG       ((size_t)50000000 / sizeof(float))
#define PATIENCE  60000
#define SHORT     300
#define HEARTBEAT 100
#define FREEZE    MUSTER_EVALUATE /* what tells a participant to stop itself */

#define CHECK(condition) ((condition) ? (void)0 : fail(__LINE__, #condition))

static struct muster_error error; /* of the latest call that failed */

_Noreturn static void fail(int line, const char *condition)
{
    fprintf(stderr, "line %d: %s (%s)\n", line, condition, error.text);
    _exit(EXIT_FAILURE); /* without MPI_Finalize(): mpirun ends the others */
}

/* ---- participants ---- */

static void train(struct participant *participant, const struct muster_message *instruction)
{
    size_t count = muster_array_count(&instruction->arrays[0]);
    double *model = malloc(count * sizeof(*model));
    memcpy(model, instruction->arrays[0].data, count * sizeof(*model));
    for (size_t i = 0; i < count; i++)
        model[i] += (double)participant_rank(participant);
    const struct muster_array array = {MUSTER_FLOAT64, 1, {count}, model};
    const struct muster_scalar pid = {"pid", (double)getpid()};
    const struct muster_message answer = {
        .kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1, .scalars = &pid, .scalar_count = 1};
    CHECK(participant_dispatch(participant, &answer, &error) == MUSTER_OK);
    free(model);
}

static float value_at(size_t i)
{
    return (float)(i % 1000003);
}

static void double_it(struct participant *participant, const struct muster_message *instruction)
{
    size_t count = muster_array_count(&instruction->arrays[0]);
    const float *values = instruction->arrays[0].data;
    float *doubled = malloc(count * sizeof(*doubled));
    for (size_t i = 0; i < count; i++) {
        CHECK((int)values[i] == (int)value_at(i));
        doubled[i] = 2 * values[i];
    }
    const struct muster_array array = {MUSTER_FLOAT32, 1, {count}, doubled};
    const struct muster_message answer = {.kind = instruction->kind, .arrays = &array, .array_count = 1};
    CHECK(participant_dispatch(participant, &answer, &error) == MUSTER_OK);
    free(doubled);
}

static int take_part(const char *address)
{
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    participant_options_init(&options);
    options.reconnect_timeout_ms = 0;
    CHECK(participant_connect(address, &options, &participant, &error) == MUSTER_OK);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK) {
        if (instruction->kind == FREEZE)
            raise(SIGSTOP);
        else if (instruction->arrays[0].dtype == MUSTER_FLOAT64)
            train(participant, instruction);
        else
            double_it(participant, instruction);
    }
    participant_free(participant);
    return EXIT_SUCCESS;
}

/* ---- the server ---- */

static struct participant_manager *listen_on(const char *address)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    participant_manager_options_init(&options);
    options.listen = address;
    options.stop_timeout_ms = SHORT;
    options.session_grace_ms = 0;
    options.heartbeat_ms = HEARTBEAT;
    CHECK(participant_manager_start(&options, &manager, &error) == MUSTER_OK);
    return manager;
}

static struct proxy **wait_for(struct participant_manager *manager, size_t wanted, size_t *count)
{
    struct proxy **proxies;
    CHECK(participant_manager_get_participants(manager, wanted, PATIENCE, &proxies, count, &error) ==
          MUSTER_OK);
    CHECK(*count == wanted);
    return proxies;
}

static enum muster_status add(void *mean, size_t index, struct proxy *proxy,
                              const struct muster_message *answer, struct muster_error *reason)
{
    (void)index;
    (void)proxy;
    return muster_mean_add(mean, answer->arrays, answer->array_count, 1, reason);
}

/* Each participant adds its rank, so that the mean grows by that of the ranks. */
static void average(struct proxy *const *proxies, size_t count)
{
    static double model[SMALL];
    const struct muster_array array = {MUSTER_FLOAT64, 1, {SMALL}, model};
    const struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    struct muster_mean *mean = muster_mean_new_like(&array, 1);
    for (size_t round = 1; round <= ROUNDS; round++) {
        struct proxy_round_result result;
        const struct muster_array *averaged;
        size_t arrays;
        muster_mean_reset(mean);
        CHECK(proxy_run_all(proxies, count, &instruction, NULL, add, mean, &result, &error) == MUSTER_OK);
        CHECK(result.answered == count);
        CHECK(muster_mean_result(mean, &averaged, &arrays, &error) == MUSTER_OK);
        memcpy(model, averaged->data, sizeof(model));
        proxy_round_result_clear(&result);
        double expected = (double)round * (double)(count - 1) / 2;
        CHECK(model[0] > expected - 1e-9 && model[SMALL - 1] < expected + 1e-9);
    }
    muster_mean_free(mean);
}

static enum muster_status check_doubled(void *context, size_t index, struct proxy *proxy,
                                        const struct muster_message *answer, struct muster_error *reason)
{
    const float *values = answer->arrays[0].data;
    (void)context;
    (void)index;
    (void)proxy;
    (void)reason;
    for (size_t i = 0; i < BIG; i++)
        CHECK((int)values[i] == (int)(2 * value_at(i)));
    return MUSTER_OK;
}

static float *big_values(void)
{
    float *values = malloc(BIG * sizeof(*values));
    for (size_t i = 0; i < BIG; i++)
        values[i] = value_at(i);
    return values;
}

/* Once from memory that is lent, once from a prepared message. */
static void exchange_big(struct participant_manager *manager, struct proxy *const *proxies, size_t count)
{
    float *values = big_values();
    const struct muster_array array = {MUSTER_FLOAT32, 1, {BIG}, values};
    const struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    struct muster_message prepared;
    CHECK(participant_manager_prepare(manager, &instruction, &prepared, &error) == MUSTER_OK);
    for (size_t i = 0; i < 2; i++) {
        struct proxy_round_result result;
        CHECK(proxy_run_all(proxies, count, i ? &prepared : &instruction, NULL, check_doubled, NULL, &result,
                            &error) == MUSTER_OK);
        CHECK(result.answered == count);
        proxy_round_result_clear(&result);
    }
    muster_message_clear(&prepared);
    free(values);
}

static int serve(const char *address, size_t participants)
{
    size_t count;
    struct participant_manager *manager = listen_on(address);
    struct proxy **proxies = wait_for(manager, participants, &count);
    average(proxies, count);
    exchange_big(manager, proxies, count);
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    puts("ok rounds and big arrays, forth and back");
    return EXIT_SUCCESS;
}

/* ---- a participant that is stopped ---- */

static pid_t pid_of(struct proxy *proxy)
{
    static const double model[1];
    const struct muster_array array = {MUSTER_FLOAT64, 1, {1}, model};
    const struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    struct muster_message answer;
    CHECK(proxy_run(proxy, &instruction, PATIENCE, &answer, &error) == MUSTER_OK);
    pid_t pid = (pid_t)muster_message_scalar(&answer, "pid", 0);
    muster_message_clear(&answer);
    return pid;
}

static enum muster_status take_any(void *context, size_t index, struct proxy *proxy,
                                   const struct muster_message *answer, struct muster_error *reason)
{
    (void)context;
    (void)index;
    (void)proxy;
    (void)answer;
    (void)reason;
    return MUSTER_OK;
}

static bool is_stopped(pid_t pid)
{
    char path[64], state = '\0';
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "r");
    CHECK(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
    fclose(file);
    return state == 'T';
}

/* Nothing else ends this round. One that is slow is silent, too, and has not read what it is to do. */
static void give_up_if_silent(void *pid, const struct proxy_round_statistics *statistics,
                              struct proxy *const *waiting, size_t count)
{
    struct proxy_statistics silent;
    (void)statistics;
    for (size_t i = 0; i < count; i++) {
        proxy_get_statistics(waiting[i], &silent);
        if (silent.silent && is_stopped(*(pid_t *)pid))
            proxy_cancel(waiting[i]);
    }
}

static void freeze(struct proxy *const *proxies, size_t count, pid_t pid)
{
    const struct muster_message instruction = {.kind = FREEZE};
    struct proxy_round_options options;
    struct proxy_round_result result;
    proxy_round_options_init(&options);
    options.deadline_ms = PATIENCE;
    options.tick_ms = HEARTBEAT;
    options.on_tick = give_up_if_silent;
    CHECK(proxy_run_all(proxies, count, &instruction, &options, take_any, &pid, &result, &error) !=
          MUSTER_OK);
    CHECK(result.entries[0].status == MUSTER_CANCELLED);
    proxy_round_result_clear(&result);
}

/* A turn in which its heartbeats end, then one that it does not even read, in memory that is only lent; and the server
   stops. All of it ends. */
static int serve_frozen(const char *address)
{
    size_t count;
    struct participant_manager *manager = listen_on(address);
    struct proxy **proxies = wait_for(manager, 1, &count);
    pid_t pid = pid_of(*proxies);
    struct muster_message answer;
    freeze(proxies, count, pid);
    float *values = big_values();
    const struct muster_array array = {MUSTER_FLOAT32, 1, {BIG}, values};
    const struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    CHECK(proxy_run(*proxies, &instruction, SHORT, &answer, &error) == MUSTER_TIMEOUT);
    memset(values, 0, BIG * sizeof(*values));
    free(values);
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    CHECK(kill(pid, SIGCONT) == 0);
    puts("ok a participant that is stopped is silent, and holds nobody up");
    return EXIT_SUCCESS;
}

/* ---- MPI's own beginning and end; of a world of one ---- */

static int end_mpi_first(void)
{
    struct participant *participant;
    struct participant_manager *manager = listen_on("mpi:");
    CHECK(MPI_Finalize() == MPI_SUCCESS);
    CHECK(participant_connect(participant_manager_address(manager), NULL, &participant, &error) ==
          MUSTER_UNAVAILABLE);
    CHECK(strstr(error.text, "finalized"));
    participant_manager_free(manager);
    CHECK(participant_connect("mpi:0", NULL, &participant, &error) == MUSTER_UNAVAILABLE);
    CHECK(strstr(error.text, "finalized"));
    puts("ok MPI that ends first takes nothing with it");
    return EXIT_SUCCESS;
}

static int begin_with_one_thread(void)
{
    struct participant *participant;
    MPI_Init(NULL, NULL);
    CHECK(participant_connect("mpi:0", NULL, &participant, &error) == MUSTER_UNSUPPORTED);
    CHECK(strstr(error.text, "MPI_THREAD_MULTIPLE"));
    MPI_Finalize();
    puts("ok MPI for one thread is not enough");
    return EXIT_SUCCESS;
}

static int look_for_nobody(void)
{
    struct participant_options options;
    struct participant *participant;
    participant_options_init(&options);
    options.connect_timeout_ms = SHORT;
    CHECK(participant_connect("mpi:0", &options, &participant, &error) != MUSTER_OK);
    CHECK(strstr(error.text, "nobody listens on mpi:0"));
    CHECK(participant_connect("mpi:1", &options, &participant, &error) == MUSTER_INVALID);
    CHECK(strstr(error.text, "ranks 0 to 0"));
    puts("ok who looks for nobody is told");
    return EXIT_SUCCESS;
}

/* A rank of the world uses no address of MPI, so that none of the others is connected. */
static int wait_for_all(void)
{
    struct participant_options options;
    struct participant *participant;
    participant_options_init(&options);
    options.connect_timeout_ms = SHORT;
    CHECK(participant_connect("mpi:0", &options, &participant, &error) == MUSTER_UNAVAILABLE);
    CHECK(strstr(error.text, "every other"));
    puts("ok a rank that leaves us alone is a reason");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const char *role = argc > 1 ? argv[1] : "";
    bool own = argc > 3 && strcmp(argv[3], "own") == 0; /* the program begins and ends MPI itself */
    int level, result = EXIT_FAILURE;
    if (own)
        MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
    if (strcmp(role, "serve") == 0 && argc > 2)
        result = serve("mpi:0", strtoul(argv[2], NULL, 10));
    else if (strcmp(role, "serve-frozen") == 0)
        result = serve_frozen("mpi:0/frozen");
    else if (strcmp(role, "take-part") == 0 && argc > 2)
        result = take_part(argv[2]);
    else if (strcmp(role, "end-mpi-first") == 0)
        result = end_mpi_first();
    else if (strcmp(role, "one-thread") == 0)
        result = begin_with_one_thread();
    else if (strcmp(role, "nobody") == 0)
        result = look_for_nobody();
    else if (strcmp(role, "wait-for-all") == 0)
        result = wait_for_all();
    else if (strcmp(role, "stay-away") == 0)
        result = EXIT_SUCCESS;
    if (own)
        MPI_Finalize();
    return result;
}
