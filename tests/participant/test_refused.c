/* A participant is told that its answer was refused, as far as it wants to be and no further. */
#include <config.h>

#include <semaphore.h>
#include <string.h>

#include "participant/duo.h"
#include "support/fixture.h"
#include "support/sample.h"
#include "support/words.h"

struct played {
    struct duo duo;
    struct words words;
};

static void played_begin(struct played *played, void (*on_warning)(void *context, const char *text))
{
    struct participant_options options = ada_options();
    *played = (struct played){.duo = duo_empty()};
    sem_init(&played->words.said, 0, 0);
    options.on_warning = on_warning;
    options.context = on_warning == take_word ? (void *)&played->words : (void *)played;
    duo_begin(&played->duo, &options);
}

static void played_end(struct played *played)
{
    duo_free(&played->duo);
    sem_destroy(&played->words.said);
}

static void say_refused(const struct played *played, uint64_t turn, const char *text)
{
    peer_send_buffer(played->duo.peer, turn, muster__encode_refused(text));
}

/* Of a turn that runs, that is over, that never was: none of them is affected. */
FIXTURE_TEST(refused, the_word_leaves_turns_alone)
{
    struct played played;
    played_begin(&played, take_word);
    peer_send(played.duo.peer, 1, sample(MUSTER_TRAIN));
    cr_assert_eq(duo_consume(&played.duo), MUSTER_OK);
    for (uint64_t turn = 0; turn < 4; turn++)
        say_refused(&played, turn, "no");
    fixture_settle(played.duo.fixture);
    cr_assert_eq(played.words.count, 4);
    cr_assert_str_eq(played.words.last, "the server refused the answer to turn 3: no");
    cr_assert_not(participant_cancelled(played.duo.participant));
    cr_assert_eq(participant_dispatch(played.duo.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    say_refused(&played, 1, "");
    peer_send(played.duo.peer, 2, sample(MUSTER_TRAIN));
    say_refused(&played, 1, "no");
    cr_assert_eq(duo_consume(&played.duo), MUSTER_OK);
    cr_assert_eq(participant_dispatch(played.duo.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(played.duo.fixture);
    cr_assert_eq(played.duo.peer->messages[played.duo.peer->count - 1].turn, 2);
    cr_assert(is_sample(&played.duo.peer->messages[played.duo.peer->count - 1].message, MUSTER_TRAIN));
    played_end(&played);
}

FIXTURE_TEST(refused, a_servers_text_is_cut_and_made_harmless)
{
    struct played played;
    static char text[100000];
    played_begin(&played, take_word);
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "\x1b[2J\n", 5);
    say_refused(&played, UINT64_MAX, text);
    fixture_settle(played.duo.fixture);
    cr_assert_eq(played.words.count, 1);
    cr_assert_null(strchr(played.words.last, '\x1b'));
    cr_assert_null(strchr(played.words.last, '\n'));
    cr_assert_not_null(strstr(played.words.last, ": ?[2J?xxx"), "%s", played.words.last);
    cr_assert_leq(strlen(played.words.last), MUSTER_ERROR_TEXT_SIZE + 128);
    played_end(&played);
}

/* Of thousands, a few are told, and as many are read at once as are worth it; what is behind them comes. */
FIXTURE_TEST(refused, a_server_that_never_stops)
{
    enum { MANY = 3000, FIRST = 8, AT_ONCE = 256, PAUSE_MS = 50, INTERVAL_MS = 5000 };
    struct played played;
    played_begin(&played, take_word);
    for (size_t i = 1; i <= MANY; i++)
        say_refused(&played, i, "no");
    peer_send(played.duo.peer, 1, sample(MUSTER_TRAIN));
    cr_assert_eq(duo_consume(&played.duo), MUSTER_TIMEOUT);
    cr_assert_eq(played.words.count, FIRST);
    for (size_t i = 0; i < (MANY - FIRST) / AT_ONCE - 1; i++)
        fixture_advance(played.duo.fixture, PAUSE_MS);
    cr_assert_eq(duo_consume(&played.duo), MUSTER_TIMEOUT);
    fixture_advance(played.duo.fixture, PAUSE_MS);
    cr_assert_eq(duo_consume(&played.duo), MUSTER_OK);
    cr_assert_eq(played.words.count, FIRST);

    fixture_advance(played.duo.fixture, INTERVAL_MS);
    say_refused(&played, 7, "still no");
    say_refused(&played, 7, "and no");
    fixture_settle(played.duo.fixture);
    cr_assert_eq(played.words.count, FIRST + 1);
    cr_assert_str_eq(played.words.last,
                     "the server refused the answer to turn 7 (and 2992 more before): still no");
    /* Who was quiet for long is listened to as at first. */
    fixture_advance(played.duo.fixture, 100 * INTERVAL_MS);
    for (size_t i = 0; i < 2 * FIRST; i++)
        say_refused(&played, 8, "no");
    fixture_settle(played.duo.fixture);
    cr_assert_eq(played.words.count, 2 * FIRST + 1);
    played_end(&played);
}

static void consume_and_free(void *context, const char *text)
{
    struct played *played = context;
    const struct muster_message *instruction;
    take_word(&played->words, text);
    cr_assert_eq(participant_consume(played->duo.participant, 0, &instruction, NULL),
                 played->words.count == 1 ? MUSTER_TIMEOUT : MUSTER_CLOSED);
    participant_free(played->duo.participant);
}

FIXTURE_TEST(refused, what_waits_where_the_word_is_taken)
{
    struct played played;
    played_begin(&played, consume_and_free);
    say_refused(&played, 1, "no");
    fixture_settle(played.duo.fixture);
    cr_assert_eq(played.words.count, 2);
    cr_assert_not_null(strstr(played.words.last, "participant_free()"), "%s", played.words.last);
    played_end(&played);
}
