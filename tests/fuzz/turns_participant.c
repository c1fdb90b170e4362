/* The library's participants, with the manager and with the raw server. The one with the manager works on
   each instruction at most once, and what it consumes is what was sent. */
#include <config.h>

#include <string.h>

#include "fuzz/turns_world.h"

static void consume(struct member *member, struct participant *participant)
{
    uint64_t id, serial;
    enum muster_status status = participant_consume(participant, 0, &member->instruction, NULL);
    CHECK((status == MUSTER_OK) == (member->instruction != NULL));
    if (member != &world.members[WITH_MANAGER])
        return;
    CHECK(status != MUSTER_PROTOCOL); /* it says nothing wrong, and so does the manager */
    if (status != MUSTER_OK)
        return;
    read_message(member->instruction, &id, &serial);
    if (member->instruction->kind == MUSTER_RECONNECT)
        return;
    CHECK(id > 0 && id <= world.asked_count);
    struct asked *asked = &world.asked[id];
    CHECK(asked->consumed++ == 0);
    CHECK(asked->kind == member->instruction->kind);
    CHECK(is_whole(member->instruction, id, 0, asked->size_class));
}

static void take(struct member *member, struct participant *participant)
{
    struct muster_message taken;
    enum muster_status status = participant_take(participant, &taken, NULL);
    CHECK((status == MUSTER_OK) == (member->instruction != NULL));
    CHECK(status != MUSTER_OK ||
          (taken.kind == member->instruction->kind && taken.data == member->instruction->data));
    muster_message_clear(&taken);
}

static void dispatch(struct member *member, struct participant *participant, uint8_t how)
{
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    const struct muster_message *instruction = member->instruction;
    uint64_t id = 0, serial = 0;
    if (!instruction) {
        participant_dispatch(participant, &empty, NULL);
        return;
    }
    enum muster_kind kind = how & 4 ? MUSTER_FAILURE : instruction->kind;
    read_message(instruction, &id, &serial);
    serial = next_serial();
    /* It may be given to its turn before participant_dispatch() returns. */
    bool counts = member == &world.members[WITH_MANAGER] && id && !world.asked[id].serial;
    if (counts)
        world.asked[id].serial = serial;
    struct made *made = make_own_message(kind, id, serial, how & 3);
    enum muster_status status = participant_dispatch(participant, &made->message, NULL);
    free(made);
    CHECK(status != MUSTER_OK || counts || member != &world.members[WITH_MANAGER] || !id);
    if (counts && status != MUSTER_OK)
        world.asked[id].serial = 0;
}

static void on_ready(void *context, struct participant *participant)
{
    struct member *member = context;
    if (!member->automatic || member->participant != participant)
        return;
    consume(member, participant);
    if (member->instruction)
        dispatch(member, participant, 2);
}

static void take_word(void *context, const char *text)
{
    char shown[1024];
    (void)context;
    CHECK(strlen(text) < sizeof(shown) &&
          strcmp(muster_text_harmless(text, shown, sizeof(shown)), text) == 0);
}

/* Blocks; unless something does already. */
static void connect_member(struct member *member, uint8_t how)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    if (member->participant || world.depth)
        return;
    options.name = how & 1 ? NULL : "ada";
    options.connect_timeout_ms = 1000;
    options.reconnect_timeout_ms = how & 2 ? 0 : 2000;
    options.close_timeout_ms = 500;
    options.max_payload_size = 65536;
    options.chunk_threshold = 4096;
    options.deliver_reconnect = how & 4;
    options.on_ready = on_ready;
    options.on_warning = take_word;
    options.context = member;
    world.depth++;
    enum muster_status status = participant_connect(
        member == &world.members[WITH_RAW] ? RAW_ADDRESS : MANAGER_ADDRESS, &options, &participant, NULL);
    world.depth--;
    CHECK((status == MUSTER_OK) == (participant != NULL));
    *member = (struct member){.participant = participant, .automatic = how & 8};
}

void member_free(struct member *member)
{
    struct participant *participant = member->participant;
    if (world.depth)
        return;
    *member = (struct member){0};
    world.depth++;
    participant_free(participant);
    world.depth--;
}

void member_event(struct member *member, struct input *input)
{
    uint8_t what = take_byte(input) % 8;
    uint8_t how = take_byte(input);
    struct participant *participant = member->participant;
    if (what == 0) {
        connect_member(member, how);
        return;
    }
    if (!participant)
        return;
    switch (what) {
    case 1:
    case 2:
        dispatch(member, participant, how);
        break;
    case 3:
    case 4:
        consume(member, participant);
        break;
    case 5:
        participant_report(participant, how / 255.0, &(const struct muster_scalar){"loss", how}, how & 1,
                           NULL);
        if (how & 1)
            participant_ask(participant, NULL);
        if (how & 2)
            take(member, participant);
        (void)participant_cancelled(participant);
        (void)participant_transfer(participant);
        CHECK(participant_reason(participant) && participant_name(participant));
        break;
    case 6:
        if (how & 1)
            participant_close(participant);
        break;
    case 7:
        if (how & 1)
            member_free(member);
        break;
    }
}
