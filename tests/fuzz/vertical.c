/*
 * A member that is given instructions which may say anything, and a master that hears answers which may, too.
 * Each instruction begins as a valid one: the first byte says which, and the next ones what is changed in it.
 * Whatever that is, the member goes on from a step that it knows, and the master has scores only of the shape
 * that it asked for.
 */
#include <config.h>

#include <math.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "learning/vertical/exchange.h"
#include "learning/vertical/member.h"
#include "learning/vertical/members.h"
#include "learning/vertical/note.h"
#include "learning/vertical/settings.h"
#include "learning/vertical/table.h"

enum { ROWS = 6, COLUMNS = 2, MOST = 64 };

static const char *const ids[ROWS] = {"a", "b", "c", "d", "e", "f"};
static const double values[ROWS * COLUMNS] = {1, 0, 0, 2, -1, 0.5, 3, 1, 0, 0, 2, 2};
static const struct muster_vertical_table table = {ROWS, COLUMNS, ids, values, NULL};

static const char *const tasks[] = {MUSTER__VERTICAL_BEGIN,          MUSTER__VERTICAL_UPDATE,
                                    MUSTER__VERTICAL_UPDATE_PREDICT, MUSTER__VERTICAL_PREDICT,
                                    MUSTER__VERTICAL_FINISH,         "dance"};

/* ---- the matching that comes before ---- */

static enum muster_status run_round(void *context, const struct muster_message *const *instructions,
                                    match_take *take, void *taker, struct muster_error *error)
{
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    CHECK(muster__vertical_member_reply(context, NULL, instructions[0], &answer, error) == MUSTER_OK);
    return take(taker, 0, &answer, error);
}

static struct muster_vertical_member *make_member(void)
{
    struct muster_vertical_member *member;
    struct muster_vertical_options options;
    struct muster_error error;
    size_t *order;
    CHECK(muster_vertical_member_new(&table, NULL, &member, &error) == MUSTER_OK);
    CHECK(muster__vertical_table_order(&table, &order, &error) == MUSTER_OK);
    muster_vertical_options_init(&options);
    const struct match_exchange exchange = {1, member, run_round};
    struct match_master master = {
        .exchange = &exchange, .table = &table, .order = order, .options = &options};
    CHECK(muster__match_plain(&master, &error) == MUSTER_OK && master.joint == ROWS);
    free(master.rows);
    free(order);
    return member;
}

/* ---- messages ---- */

static int64_t take_integer(struct input *input)
{
    static const int64_t special[] = {INT64_MIN, INT64_MAX, INT32_MAX, 65536, 65537, 1 << 20};
    uint8_t byte = take_byte(input);
    return byte < 250 ? (int64_t)byte - 8 : special[byte - 250];
}

static double take_number(struct input *input)
{
    static const double special[] = {NAN, INFINITY, -INFINITY, 1e308, -1e308, 1e-308};
    uint8_t byte = take_byte(input);
    return byte < 250 ? ((double)byte - 16) / 16 : special[byte - 250];
}

/* Changes some values, and leaves some out. */
static void change(struct muster__vertical_note *note, struct input *input)
{
    for (size_t count = take_byte(input) % 4; count > 0; count--) {
        size_t at = take_byte(input);
        if (at % 2 == 0 && note->message.scalar_count > 0)
            note->scalars[at / 2 % note->message.scalar_count].value = take_number(input);
        else if (at % 16 == 15)
            note->message.value_count -= note->message.value_count > 2;
        else if (note->message.value_count > 0) {
            struct muster_value *value = &note->values[at / 2 % note->message.value_count];
            if (value->kind == MUSTER_VALUE_INTEGER)
                value->integer = take_integer(input);
            else if (value->kind == MUSTER_VALUE_BOOL)
                value->boolean = !value->boolean;
        }
    }
}

static void add_matrix(struct muster__vertical_note *note, size_t rows, size_t columns, struct input *input)
{
    static double numbers[MOST];
    uint8_t shape = take_byte(input);
    rows = shape & 1 ? shape / 2 % 8 : rows;
    columns = shape & 1 ? shape / 16 % 8 : columns;
    for (size_t i = 0; i < rows * columns; i++)
        numbers[i] = take_number(input);
    muster__vertical_note_matrix(note, numbers, rows, columns);
    if (shape == 255)
        note->array.dtype = MUSTER_FLOAT32;
}

static void make_instruction(struct muster__vertical_note *note, uint64_t step, struct input *input)
{
    static const struct muster__vertical_settings settings = {.run = 1,
                                                              .model = MUSTER_VERTICAL_LOGISTIC,
                                                              .outputs = 1,
                                                              .rows = ROWS,
                                                              .batch_size = 2,
                                                              .steps = {2, false}};
    uint8_t which = take_byte(input);
    const char *task = tasks[which % (sizeof(tasks) / sizeof(*tasks))];
    muster__vertical_note_begin(note, MUSTER_TRAIN, task);
    if (task == tasks[0]) {
        muster__vertical_settings_write(&settings, note);
        muster__vertical_note_integer(note, MUSTER__VERTICAL_INDEX, 0);
        muster__vertical_note_integer(note, MUSTER__VERTICAL_STEP, (int64_t)step);
    } else if (task == tasks[1] || task == tasks[2]) {
        muster__vertical_note_integer(note, MUSTER__VERTICAL_STEP, (int64_t)step + 1);
        add_matrix(note, 2, 1, input);
    } else if (task == tasks[3]) {
        muster__vertical_note_integer(note, MUSTER__VERTICAL_STEP, which & 64 ? (int64_t)step + 1 : 0);
        muster__vertical_note_integer(note, MUSTER__VERTICAL_WHICH, MUSTER_VERTICAL_TRAIN);
        muster__vertical_note_integer(note, MUSTER__VERTICAL_FROM, 1);
        muster__vertical_note_integer(note, MUSTER__VERTICAL_COUNT, 3);
    }
    change(note, input);
}

/* ---- who hears them ---- */

static void hear(struct muster__vertical_peer *peer, const struct muster_message *message,
                 struct input *input)
{
    struct muster__vertical_note note = {0};
    struct muster_error reason;
    const struct muster__vertical_expected expected = {
        .any_step = take_byte(input) % 2, .rows = take_byte(input) % 4, .outputs = 1};
    const struct muster__vertical_peer before = *peer;
    muster__vertical_note_begin(&note, message->kind, NULL);
    muster__vertical_note_integer(&note, MUSTER__VERTICAL_STEP, (int64_t)peer->step);
    muster__vertical_note_integer(&note, MUSTER__VERTICAL_DURABLE, -1);
    muster__vertical_note_scalar(&note, MUSTER__VERTICAL_TASK_MS, 1);
    add_matrix(&note, 2, 1, input);
    change(&note, input);
    enum muster_status status = muster__vertical_peer_hear(peer, &expected, &note.message, &reason);
    if (status == MUSTER_OK) {
        CHECK(expected.any_step || peer->step == before.step);
        for (size_t i = 0; i < expected.rows; i++)
            CHECK(isfinite(peer->scores[i]));
    } else {
        CHECK(status == MUSTER_PROTOCOL || status == MUSTER_INVALID);
        CHECK(peer->step == before.step && peer->durable == before.durable && reason.text[0] != '\0');
    }
    (void)muster__vertical_peer_hear(peer, &expected, message, &reason);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct muster_vertical_member *member = make_member();
    struct muster__vertical_peer peer = {.durable = -1};
    while (input.left > 0) {
        struct muster__vertical_note note;
        struct muster_message answer = MUSTER_MESSAGE_INIT;
        struct muster_error error = {MUSTER_OK, ""};
        uint64_t before = muster_vertical_member_updates(member);
        make_instruction(&note, before, &input);
        enum muster_status status =
            muster__vertical_member_reply(member, NULL, &note.message, &answer, &error);
        uint64_t after = muster_vertical_member_updates(member);
        /* who begins again at an earlier step goes back; nothing else does, and no update is skipped */
        const char *task = muster__vertical_task(&note.message);
        bool begins = task && strcmp(task, MUSTER__VERTICAL_BEGIN) == 0;
        CHECK(after == before || (begins ? after < before : after == before + 1));
        CHECK(status == MUSTER_OK ? error.status == MUSTER_OK : error.text[0] != '\0');
        if (status == MUSTER_OK)
            hear(&peer, &answer, &input);
    }
    free(peer.scores);
    muster_vertical_member_free(member);
    return 0;
}
