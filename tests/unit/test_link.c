/* What both ends of a stream say of themselves, and the token by which a participant is known again. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include "link/hello.h"
#include "link/token.h"

#define OWN_MOST 4096

/* What a peer reads of what the other says of itself. */
static struct abilities over_hello(const struct abilities *said)
{
    const Muster__Hello rest = MUSTER__HELLO__INIT;
    const struct participant_label labels[] = {{"place", "Graz"}, {NULL, NULL}};
    struct buffer *packed = muster__hello_pack(said, "ada", labels, 2);
    struct buffer *body = muster__encode_hello(packed, &rest);
    const struct piece piece = {body->data, body->size};
    struct envelope envelope;
    cr_assert_eq(muster__decode(TO_SERVER, &piece, 1, &envelope, NULL), MUSTER_OK);
    cr_assert_str_eq(envelope.hello->name, "ada");
    cr_assert_eq(envelope.hello->n_labels, 2);
    cr_assert_str_eq(envelope.hello->labels[0]->value, "Graz");
    cr_assert_str_eq(envelope.hello->labels[1]->name, "");
    struct abilities read = muster__hello_read(envelope.hello, OWN_MOST);
    muster__envelope_clear(&envelope);
    muster__buffer_release(body);
    muster__buffer_release(packed);
    return read;
}

static struct abilities over_welcome(const struct abilities *said)
{
    Muster__Welcome rest = MUSTER__WELCOME__INIT;
    rest.rank = 7;
    struct buffer *body = muster__welcome_encode(said, &rest);
    const struct piece piece = {body->data, body->size};
    struct envelope envelope;
    cr_assert_eq(muster__decode(TO_PARTICIPANT, &piece, 1, &envelope, NULL), MUSTER_OK);
    cr_assert_eq(envelope.welcome->rank, 7);
    struct abilities read = muster__welcome_read(envelope.welcome, OWN_MOST);
    muster__envelope_clear(&envelope);
    muster__buffer_release(body);
    return read;
}

Test(link, each_end_learns_what_the_other_takes)
{
    static const struct abilities said[] = {{0, 0, false, true, false},
                                            {1024, 0, true, false, true},
                                            {OWN_MOST + 1, 1, false, false, false},
                                            {OWN_MOST, UINT64_MAX, true, true, true}};
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
        const struct abilities read[] = {over_hello(&said[i]), over_welcome(&said[i])};
        for (size_t j = 0; j < 2; j++) {
            cr_assert_eq(read[j].max_message_size, i == 1 ? 1024 : OWN_MOST);
            cr_assert_eq(read[j].max_payload_size, said[i].max_payload_size);
            cr_assert_eq(read[j].hears_refusals, said[i].hears_refusals);
            cr_assert_eq(read[j].sends_heartbeats, said[i].sends_heartbeats);
            cr_assert_eq(read[j].asks, said[i].asks);
        }
    }
}

Test(link, features_of_a_later_release_are_passed_over)
{
    char later[] = "something from the future", chunks[] = FEATURE_CHUNKS;
    char *features[] = {later, chunks};
    Muster__Hello hello = MUSTER__HELLO__INIT;
    hello.features = features;
    hello.n_features = 1;
    cr_assert_eq(muster__hello_read(&hello, OWN_MOST).max_payload_size, 0);
    hello.n_features = 2;
    cr_assert_eq(muster__hello_read(&hello, OWN_MOST).max_payload_size, UINT64_MAX);
}

Test(link, a_token_is_right_as_a_whole)
{
    uint8_t token[SESSION_SIZE], other[SESSION_SIZE + 1] = {0};
    cr_assert(muster__token_make(token));
    memcpy(other, token, SESSION_SIZE);
    ProtobufCBinaryData shown = {SESSION_SIZE, other};
    cr_assert(muster__token_is(&shown, token, SESSION_SIZE));
    cr_assert_not(muster__token_is(&shown, token, SESSION_SIZE - 1));
    shown.len = SESSION_SIZE + 1;
    cr_assert_not(muster__token_is(&shown, token, SESSION_SIZE));
    for (size_t i = 0; i < SESSION_SIZE; i++) {
        shown.len = SESSION_SIZE;
        other[i] ^= 0x80;
        cr_assert_not(muster__token_is(&shown, token, SESSION_SIZE));
        other[i] ^= 0x80;
    }
    shown.len = 0;
    cr_assert_not(muster__token_is(&shown, token, 0));
}
