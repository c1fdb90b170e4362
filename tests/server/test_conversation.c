/* The server says, byte for byte, what the page for other languages writes out; but for the token, which is random. */
#include <config.h>

#include <string.h>

#include "server/pair.h"
#include "support/conversation.h"

static void hear(struct pair *pair, const struct spoken *spoken)
{
    peer_send_bytes(pair->peer, spoken->bytes, spoken->size);
    fixture_settle(pair->fixture);
}

static void instruct(struct pair *pair, const struct muster_message *instruction, struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    cr_assert_eq(start_message(pair->proxy, instruction, TURN_MS, outcome), MUSTER_OK);
    fixture_settle(pair->fixture);
}

/* Welcome begins with its own tag and size, then those of the token. */
static void take_token(struct spoken *welcome, const struct peer *peer)
{
    for (size_t i = 0; i + 18 <= welcome->size; i++) {
        if (welcome->bytes[i] == 0x0a && welcome->bytes[i + 1] == 16) {
            memcpy(&welcome->bytes[i + 2], peer->session, 16);
            return;
        }
    }
    cr_assert_fail("Welcome has no token");
}

FIXTURE_TEST(conversation, server_says_what_is_written)
{
    struct conversation written = conversation_read();
    struct participant_manager_options options = fixture_options();
    struct pair pair = {0};
    struct outcome outcome;
    options.session_grace_ms = 60000;
    pair.fixture = fixture_new(&options);
    pair.peer = peer_connect(pair.fixture);
    hear(&pair, &written.participant[0]);
    take_token(&written.server[0], pair.peer);
    hear(&pair, &written.participant[1]);
    pair.proxy = fixture_proxy(pair.fixture, "ada");
    cr_assert_not_null(pair.proxy);
    cr_assert_str_eq(proxy_label(pair.proxy, "site"), "berlin");
    instruct(&pair, &conversation_train, &outcome);
    hear(&pair, &written.participant[2]);
    hear(&pair, &written.participant[3]);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    instruct(&pair, &conversation_ping, &outcome);
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    instruct(&pair, &conversation_ping, &outcome);
    hear(&pair, &written.participant[4]);
    cr_assert(ended_with(&outcome, MUSTER_UNKNOWN_INSTRUCTION));
    hear(&pair, &written.participant[5]);
    instruct(&pair, &conversation_evaluate, &outcome);
    hear(&pair, &written.participant[6]);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    instruct(&pair, &conversation_evaluate, &outcome);
    hear(&pair, &written.participant[7]);
    cr_assert(ended_with(&outcome, MUSTER_REFUSED));
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 600, NULL), MUSTER_OK);
    fixture_settle(pair.fixture);
    conversation_expect(pair.peer, written.server, written.server_count);
    pair_free(&pair);
}
