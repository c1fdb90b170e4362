/* Every allocation fails in turn while a participant joins over the HTTP/2 transport, answers and leaves. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <muster/muster.h>

#include "fault/failing_http2.h"
#include "unit/tls_files.h"

enum { BIG_COUNT = 1 << 19, ANSWERS_MS = 1000000 };

static float big_values[BIG_COUNT]; /* 2 MiB: more than a stream's window and a socket's buffers */
static const struct muster_array big_array = {
    .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {BIG_COUNT}, .data = big_values};
static const struct muster_message big = {.kind = MUSTER_TRAIN, .arrays = &big_array, .array_count = 1};
static const struct muster_message empty = MUSTER_MESSAGE_INIT;
static struct muster_credentials of_server, of_participant;

static void work(void *context, struct participant *participant)
{
    const struct muster_message *instruction;
    (void)context;
    while (participant_consume(participant, 0, &instruction, NULL) == MUSTER_OK) {
        if (participant_dispatch(participant, instruction, NULL) == MUSTER_OUT_OF_MEMORY)
            participant_dispatch(participant, instruction,
                                 NULL); /* nothing was sent: there is another chance */
    }
}

static struct participant_manager *start_manager(void)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager = NULL;
    options.listen = ANY_PORT;
    options.network_threads = 1;
    options.credentials = of_server;
    options.max_message_size = 4 << 20;
    PLAUSIBLE(participant_manager_start(&options, &manager, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_UNAVAILABLE);
    return manager;
}

static struct participant *connect_participant(struct participant_manager *manager, size_t chunk_threshold)
{
    char address[64];
    snprintf(address, sizeof(address), "http2+localhost:%u", participant_manager_port(manager));
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant = NULL;
    options.on_ready = work;
    options.credentials = of_participant;
    options.chunk_threshold = chunk_threshold;
    options.max_message_size = 4 << 20;
    /* FULL: the server was. */
    if (PLAUSIBLE(participant_connect(address, &options, &participant, NULL), MUSTER_OUT_OF_MEMORY,
                  MUSTER_PROTOCOL, MUSTER_UNAVAILABLE, MUSTER_FULL))
        PLAUSIBLE(participant_dispatch(participant, &empty, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL);
    return participant;
}

static void run_turns(struct proxy *proxy)
{
    struct muster_message answer;
    if (PLAUSIBLE(proxy_run(proxy, &train, ANSWERS_MS, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL, MUSTER_TIMEOUT))
        EXPECT(is_train(&answer));
    muster_message_clear(&answer);
    if (PLAUSIBLE(proxy_run(proxy, &big, ANSWERS_MS, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL, MUSTER_TIMEOUT))
        EXPECT(answer.array_count == 1 && answer.arrays[0].shape[0] == BIG_COUNT &&
               memcmp(answer.arrays[0].data, big_values, sizeof(big_values)) == 0);
    muster_message_clear(&answer);
}

static void turns_in_chunks_beyond(size_t chunk_threshold)
{
    struct participant_manager *manager = start_manager();
    struct participant *participant = manager ? connect_participant(manager, chunk_threshold) : NULL;
    struct proxy **proxies = NULL;
    size_t count = 0;
    if (participant)
        PLAUSIBLE(participant_manager_get_participants(manager, 1, ANSWERS_MS, &proxies, &count, NULL),
                  MUSTER_TIMEOUT, MUSTER_OUT_OF_MEMORY);
    if (proxies)
        run_turns(proxies[0]);
    proxy_release_all(proxies, proxies ? count : 0);
    participant_free(participant);
    settle();
    participant_manager_free(manager);
    EXPECT(is_over());
}

static void turns_in_one_message(void)
{
    turns_in_chunks_beyond(SIZE_MAX);
}

static void turns_in_chunks(void)
{
    turns_in_chunks_beyond(1000);
}

static void init(void)
{
    make_tls_files();
    for (size_t i = 0; i < BIG_COUNT; i++)
        big_values[i] = (float)i;
}

#define TURNS_TEST(name) Test(allocation_http2, name, .init = init, .fini = remove_tls_files, .timeout = 300)

TURNS_TEST(turns_in_one_message)
{
    cr_assert_gt(run_all_ways(turns_in_one_message), 100);
}

TURNS_TEST(turns_in_chunks)
{
    cr_assert_gt(run_all_ways(turns_in_chunks), 100);
}

/* OpenSSL's own allocations are left alone. */
TURNS_TEST(turns_over_tls)
{
    of_server = (struct muster_credentials){.certificate = tls_file("server", ".pem"),
                                            .key = tls_file("server", ".key"),
                                            .ca = tls_file("ca", ".pem")};
    of_participant = (struct muster_credentials){
        .certificate = tls_file("ada", ".pem"), .key = tls_file("ada", ".key"), .ca = of_server.ca};
    cr_assert_gt(run_all_ways(turns_in_chunks), 100);
    of_server = of_participant = (struct muster_credentials){0};
}
