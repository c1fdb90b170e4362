/* The server on muster: the public interface, as a program would use it. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "role.h"

#define TYPE "bench"

static struct {
    struct role_options options;
    struct participant_manager *manager;
    struct proxy **proxies;
    size_t count;
    struct muster_message instruction;
    char *answer; /* what the last turn brought */
} server;

static void require(enum muster_status status, const char *what)
{
    if (status != MUSTER_OK) {
        role_fail("%s: %s", what, muster_status_text(status));
    }
}

static uint16_t start(const struct role_options *options)
{
    struct participant_manager_options manager_options = PARTICIPANT_MANAGER_OPTIONS_INIT;
    struct muster_error error = {0};
    server.options = *options;
    server.answer = role_allocate(1, options->payload);
    server.instruction.kind = MUSTER_APPLICATION;
    server.instruction.type = TYPE;
    server.instruction.data = role_allocate(1, options->payload);
    server.instruction.size = options->payload;
    manager_options.listen = "127.0.0.1:0";
    if (participant_manager_start(&manager_options, &server.manager, &error) != MUSTER_OK) {
        role_fail("%s", error.text);
    }
    return participant_manager_port(server.manager);
}

static void join(size_t count)
{
    require(participant_manager_get_participants(server.manager, count, MUSTER_NO_LIMIT, &server.proxies,
                                                 &server.count),
            "get_participants");
}

static bool is_answer(const struct muster_message *answer)
{
    return answer->kind == MUSTER_APPLICATION && answer->size == server.options.payload;
}

static void turn(void)
{
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    require(proxy_run(server.proxies[0], &server.instruction, &answer), "proxy_run");
    if (!is_answer(&answer)) {
        role_fail("an answer of the wrong size");
    }
    memcpy(server.answer, answer.data, answer.size);
    muster_message_clear(&answer);
}

static enum muster_status count_answer(void *context, size_t index, struct proxy *proxy,
                                       const struct muster_message *answer)
{
    size_t *answers = context;
    (void)index;
    (void)proxy;
    *answers += is_answer(answer);
    return MUSTER_OK;
}

static void round_with_all(void)
{
    size_t answers = 0;
    require(
        proxy_run_all(server.proxies, server.count, &server.instruction, NULL, count_answer, &answers, NULL),
        "proxy_run_all");
    if (answers != server.count) {
        role_fail("%zu of %zu answers", answers, server.count);
    }
}

static void stop(void)
{
    proxy_release_all(server.proxies, server.count);
    participant_manager_free(server.manager);
    free((void *)(uintptr_t)server.instruction.data);
    free(server.answer);
}

const struct role_server muster_server = {start, join, turn, round_with_all, stop};
