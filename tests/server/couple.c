/* A couple, and how it is parted. */
#include <config.h>

#include "server/couple.h"
#include "support/call.h"
#include "support/sample.h"

struct participant_manager_options session_options(void)
{
    struct participant_manager_options options = fixture_options();
    options.session_grace_ms = 60000;
    return options;
}

void couple_new_with(struct couple *couple, const struct participant_manager_options *options,
                     const struct participant_options *client)
{
    struct call call;
    couple->fixture = fixture_new(options);
    fixture_pump(couple->fixture);
    call_connect(&call, couple->fixture, client);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    couple->participant = call.participant;
    struct muster_message empty = MUSTER_MESSAGE_INIT;
    cr_assert_eq(participant_dispatch(couple->participant, &empty, NULL), MUSTER_OK);
    fixture_wait_events(couple->fixture, 1);
    fixture_unpump(couple->fixture);
    couple->proxy = fixture_proxy(couple->fixture, client->name);
    cr_assert_not_null(couple->proxy);
}

void couple_new(struct couple *couple, const char *name)
{
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    client.name = name;
    couple_new_with(couple, &options, &client);
}

void couple_free(struct couple *couple)
{
    fixture_pump(couple->fixture);
    participant_free(couple->participant);
    fixture_unpump(couple->fixture);
    fixture_free(couple->fixture);
}

const struct muster_message *couple_consume(struct couple *couple, enum muster_kind kind)
{
    const struct muster_message *instruction;
    cr_assert_eq(participant_consume(couple->participant, 0, &instruction, NULL), MUSTER_OK);
    cr_assert(is_sample(instruction, kind));
    return instruction;
}

struct peer *peer_with_token(struct fixture *fixture, const char *name, const void *token, size_t size,
                             uint64_t last_turn)
{
    struct peer *peer = peer_connect(fixture);
    Muster__Hello hello = MUSTER__HELLO__INIT;
    hello.name = (char *)name;
    hello.session = (ProtobufCBinaryData){size, (uint8_t *)token};
    hello.last_turn = last_turn;
    peer_send_buffer(peer, 0, muster__encode_hello(NULL, &hello));
    peer_send_empty(peer);
    fixture_settle(fixture);
    return peer;
}

void restart_server(struct couple *couple)
{
    struct participant_manager_options options = session_options();
    struct fixture *fixture = couple->fixture;
    for (size_t n = 0; n < 100; n++)
        muster_fixture_drop(fixture->network, n);
    muster_fixture_refuse(fixture->network, true);
    fixture_settle(fixture);
    participant_manager_close(fixture->manager);
    fixture_settle(fixture);
    for (size_t i = 0; i < fixture->proxy_count; i++)
        proxy_release(fixture->proxies[i]);
    fixture->proxy_count = 0;
    participant_manager_free(fixture->manager);
    options.context = fixture;
    cr_assert_eq(participant_manager_start(&options, &fixture->manager, NULL), MUSTER_OK);
    muster_fixture_refuse(fixture->network, false);
}

void send_away(struct couple *couple, size_t n)
{
    muster_fixture_refuse(couple->fixture->network, true);
    cr_assert(muster_fixture_drop(couple->fixture->network, n));
    fixture_settle(couple->fixture);
    cr_assert_not(proxy_is_open(couple->proxy));
}
