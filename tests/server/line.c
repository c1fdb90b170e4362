/* A line, its options, and how far a message has come. */
#include <config.h>

#include <stdlib.h>

#include "proxy/internal.h"
#include "server/line.h"

struct participant_manager_options line_manager_options(void)
{
    struct participant_manager_options options = fixture_options();
    options.chunk_threshold = THRESHOLD;
    return options;
}

struct participant_options line_participant_options(void)
{
    struct participant_options options;
    participant_options_init(&options);
    options.name = "ada";
    options.chunk_threshold = THRESHOLD;
    return options;
}

struct couple line_with(const struct participant_manager_options *server,
                        const struct participant_options *client)
{
    struct couple line;
    couple_new_with(&line, server, client);
    fixture_pump(line.fixture);
    return line;
}

void line_free(struct couple *line)
{
    if (!line->fixture->pumping)
        fixture_pump(line->fixture);
    participant_free(line->participant);
    const struct budget *uploads = &line->fixture->manager->budget;
    fixture_unpump(line->fixture);
    fixture_settle(line->fixture);
    cr_assert_eq(uploads->held + uploads->reserved, 0);
    cr_assert_eq(uploads->holders + uploads->waiting_count, 0);
    fixture_free(line->fixture);
}

void *noise(size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1);
    uint32_t state = 1;
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(state >> 24);
    }
    return bytes;
}

bool line_is_transfer(struct muster_transfer transfer, uint64_t sent, uint64_t to_send, uint64_t received,
                      uint64_t to_receive)
{
    return transfer.sent == sent && transfer.to_send == to_send && transfer.received == received &&
           transfer.to_receive == to_receive;
}

void line_step_until(struct couple *line, uint64_t down, uint64_t up)
{
    while (participant_transfer(line->participant).received < down ||
           proxy_transfer(line->proxy).received < up)
        cr_assert(muster_fixture_step(line->fixture->network));
}
