/* The participant says, byte for byte, what the page for other languages writes out. */
#include <config.h>

#include "participant/duo.h"
#include "support/conversation.h"

static void hear(struct peer *peer, const struct spoken *spoken)
{
    peer_send_bytes(peer, spoken->bytes, spoken->size);
}

/* The first word of the server's, when Hello has come; the others are the test's to say. */
static void welcomes_as_written(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO) {
        struct conversation written = conversation_read();
        hear(peer, &written.server[0]);
    }
}

static void consume(struct duo *duo, enum muster_kind kind)
{
    cr_assert_eq(duo_consume(duo), MUSTER_OK);
    cr_assert_eq(duo->instruction->kind, kind);
}

static void dispatch(struct duo *duo, const struct muster_message *answer)
{
    cr_assert_eq(participant_dispatch(duo->participant, answer, NULL), MUSTER_OK);
    fixture_settle(duo->fixture);
}

FIXTURE_TEST(conversation, participant_says_what_is_written)
{
    static const struct participant_label label = {"site", "berlin"};
    static const struct muster_message empty = {.kind = MUSTER_EMPTY}, unknown = {.kind = MUSTER_UNKNOWN};
    struct conversation written = conversation_read();
    struct participant_options options = ada_options();
    struct duo duo = duo_empty();
    options.labels = &label;
    options.label_count = 1;
    duo.fixture->react = welcomes_as_written;
    duo_connect(&duo, &options);
    dispatch(&duo, &empty);
    hear(duo.peer, &written.server[1]);
    consume(&duo, MUSTER_TRAIN);
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_OK);
    dispatch(&duo, &conversation_result);
    hear(duo.peer, &written.server[2]);
    consume(&duo, MUSTER_APPLICATION);
    hear(duo.peer, &written.server[3]);
    fixture_settle(duo.fixture);
    cr_assert(participant_cancelled(duo.participant));
    hear(duo.peer, &written.server[4]);
    consume(&duo, MUSTER_APPLICATION);
    dispatch(&duo, &unknown);
    cr_assert_eq(participant_ask(duo.participant, NULL), MUSTER_OK);
    hear(duo.peer, &written.server[5]);
    consume(&duo, MUSTER_EVALUATE);
    dispatch(&duo, &conversation_score);
    hear(duo.peer, &written.server[6]);
    consume(&duo, MUSTER_EVALUATE);
    dispatch(&duo, &conversation_failure);
    conversation_expect(duo.peer, written.participant, written.participant_count);
    hear(duo.peer, &written.server[7]);
    fixture_settle(duo.fixture);
    cr_assert(duo.peer->closed, "it leaves");
    duo_free(&duo);
}
