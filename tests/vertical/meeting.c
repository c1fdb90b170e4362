/* A meeting whose rounds are function calls. */
#include <config.h>

#include "vertical/meeting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learning/vertical/table.h"
#include "status.h"

static void keep_warning(void *context, const char *text)
{
    struct attendant *attendant = context;
    snprintf(attendant->warning, sizeof(attendant->warning), "%s", text);
}

/* ---- what is said ---- */

static void append(uint8_t **all, size_t at, const void *bytes, size_t size)
{
    *all = realloc(*all, at + size + 1);
    cr_assert_not_null(*all);
    if (size > 0)
        memcpy(*all + at, bytes, size);
}

static void hear(struct meeting *meeting, const void *bytes, size_t size)
{
    append(&meeting->heard, meeting->heard_size, bytes, size);
    meeting->heard_size += size;
}

static void hear_points(struct meeting *meeting, const struct muster_array *array)
{
    append(&meeting->points, meeting->point_count * POINT_SIZE, array->data, array->shape[0] * POINT_SIZE);
    meeting->point_count += array->shape[0];
}

static size_t size_of(const struct muster_array *array)
{
    return muster_array_count(array) * muster_dtype_size(array->dtype);
}

static void hear_message(struct meeting *meeting, const struct muster_message *message)
{
    if (message->array_count > 0 && message->arrays->dimensions == 2)
        hear_points(meeting, message->arrays);
    for (size_t i = 0; i < message->array_count; i++)
        hear(meeting, message->arrays[i].data, size_of(&message->arrays[i]));
    for (size_t i = 0; i < message->value_count; i++) {
        const struct muster_value *value = &message->values[i];
        hear(meeting, value->name, strlen(value->name));
        if (value->kind == MUSTER_VALUE_TEXT)
            hear(meeting, value->text, strlen(value->text));
        else if (value->kind == MUSTER_VALUE_INTEGER)
            hear(meeting, &value->integer, sizeof(value->integer));
        else
            cr_assert_eq(value->kind, MUSTER_VALUE_BOOL);
    }
    cr_assert_eq(message->scalar_count, 0);
}

/* A copy as the network would bring it, which the test may have changed. */
struct carried {
    struct muster_message message;
    struct muster_array array;
    struct muster_value values[MUSTER__VERTICAL_NUMBERS_MAX];
    uint8_t *data;
};

static void carry(struct meeting *meeting, size_t party, bool is_answer, const struct muster_message *message,
                  struct carried *carried)
{
    *carried = (struct carried){.message = *message};
    cr_assert_leq(message->array_count, 1);
    if (message->array_count == 1) {
        carried->array = message->arrays[0];
        carried->data = malloc(size_of(&carried->array) + 1);
        cr_assert_not_null(carried->data);
        if (size_of(&carried->array) > 0)
            memcpy(carried->data, carried->array.data, size_of(&carried->array));
        carried->array.data = carried->data;
        carried->message.arrays = &carried->array;
    }
    memcpy(carried->values, message->values, message->value_count * sizeof(*message->values));
    carried->message.values = carried->values;
    if (meeting->tamper)
        meeting->tamper(meeting, party, is_answer, &carried->message, carried->data);
    if (meeting->listening)
        hear_message(meeting, &carried->message);
}

static enum muster_status ask(struct meeting *meeting, size_t party, const struct muster_message *instruction,
                              match_take *take, void *taker, struct muster_error *error)
{
    struct carried there, back;
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    carry(meeting, party, false, instruction, &there);
    enum muster_status status = muster__vertical_matcher_answer(meeting->parties[party].matcher, NULL,
                                                                &there.message, &answer, error);
    if (status == MUSTER_OK) {
        carry(meeting, party, true, &answer, &back);
        status = take(taker, party - 1, &back.message, error);
        free(back.data);
    }
    free(there.data);
    return status;
}

static enum muster_status run_round(void *context, const struct muster_message *const *instructions,
                                    match_take *take, void *taker, struct muster_error *error)
{
    struct meeting *meeting = context;
    struct muster_error why = {MUSTER_OK, ""};
    meeting->rounds++;
    for (size_t i = 0; i < meeting->exchange.members; i++) {
        enum muster_status status = ask(meeting, i + 1, instructions[i], take, taker, &why);
        if (status != MUSTER_OK)
            return muster__error(error, status, "member %zu: %s", i + 1, why.text);
    }
    return MUSTER_OK;
}

/* ---- who is there ---- */

void meeting_init(struct meeting *meeting, size_t members)
{
    memset(meeting, 0, sizeof(*meeting));
    meeting->options.match_limit = 10000;
    meeting->exchange = (struct match_exchange){members, meeting, run_round};
    for (size_t i = 1; i <= members; i++) {
        struct attendant *attendant = &meeting->parties[i];
        attendant->options.match_limit = 10000;
        attendant->options.on_warning = keep_warning;
        attendant->options.context = attendant;
    }
}

static void forget_results(struct meeting *meeting)
{
    for (size_t i = 0; i <= meeting->exchange.members; i++) {
        muster__vertical_matcher_free(meeting->parties[i].matcher);
        free(meeting->parties[i].rows);
        meeting->parties[i].matcher = NULL;
        meeting->parties[i].rows = NULL;
        meeting->parties[i].joint = 0;
    }
    free(meeting->heard);
    free(meeting->points);
    meeting->heard = NULL;
    meeting->points = NULL;
    meeting->heard_size = meeting->point_count = 0;
    meeting->rounds = 0;
}

static void leave(struct attendant *attendant)
{
    for (size_t i = 0; attendant->owned && i < attendant->table.rows; i++)
        free(attendant->owned[i]);
    free(attendant->owned);
    free(attendant->order);
    attendant->owned = NULL;
    attendant->order = NULL;
}

void meeting_clear(struct meeting *meeting)
{
    forget_results(meeting);
    for (size_t i = 0; i <= meeting->exchange.members; i++)
        leave(&meeting->parties[i]);
}

static void begin_ids(struct attendant *attendant, size_t count)
{
    leave(attendant);
    attendant->owned = calloc(count + 1, sizeof(*attendant->owned));
    cr_assert_not_null(attendant->owned);
    attendant->table =
        (struct muster_vertical_table){.rows = 0, .ids = (const char *const *)attendant->owned};
}

static void add_id(struct attendant *attendant, const char *id)
{
    char *copy = strdup(id);
    cr_assert_not_null(copy);
    attendant->owned[attendant->table.rows++] = copy;
}

static void take_order(struct meeting *meeting, size_t party)
{
    struct attendant *attendant = &meeting->parties[party];
    enum muster_status status =
        muster__vertical_table_order(&attendant->table, &attendant->order, &meeting->error);
    cr_assert_eq(status, MUSTER_OK, "%s", meeting->error.text);
}

void attend(struct meeting *meeting, size_t party, const char *const *ids)
{
    size_t count = 0;
    while (ids[count])
        count++;
    begin_ids(&meeting->parties[party], count);
    for (size_t i = 0; i < count; i++)
        add_id(&meeting->parties[party], ids[i]);
    take_order(meeting, party);
}

void attend_with_numbers(struct meeting *meeting, size_t party, const uint32_t *numbers, size_t count)
{
    begin_ids(&meeting->parties[party], count);
    for (size_t i = 0; i < count; i++) {
        char id[64];
        snprintf(id, sizeof(id), "person-%u@example", numbers[i]);
        add_id(&meeting->parties[party], id);
    }
    take_order(meeting, party);
}

void attend_at_random(struct meeting *meeting, size_t party, uint32_t range, double probability,
                      struct muster_random *random)
{
    uint32_t *numbers = malloc((range + 1) * sizeof(*numbers));
    size_t count = 0;
    cr_assert_not_null(numbers);
    for (uint32_t i = 0; i < range; i++) {
        if (muster_random_uniform(random) >= probability)
            continue;
        size_t other = (size_t)(muster_random_uniform(random) * (double)(count + 1));
        numbers[count++] = numbers[other];
        numbers[other] = i;
    }
    attend_with_numbers(meeting, party, numbers, count);
    free(numbers);
}

/* ---- what comes out ---- */

enum muster_status meet(struct meeting *meeting, meeting_way *way)
{
    struct attendant *first = &meeting->parties[MASTER];
    struct match_master master = {.exchange = &meeting->exchange,
                                  .table = &first->table,
                                  .order = first->order,
                                  .options = &meeting->options};
    forget_results(meeting);
    for (size_t i = 1; i <= meeting->exchange.members; i++) {
        struct attendant *member = &meeting->parties[i];
        member->warning[0] = '\0';
        member->matcher = muster__vertical_matcher_new(&member->table, member->order, &member->options);
        cr_assert_not_null(member->matcher);
    }
    memset(&meeting->error, 0, sizeof(meeting->error));
    enum muster_status status = way(&master, &meeting->error);
    first->rows = master.rows;
    first->joint = status == MUSTER_OK ? master.joint : 0;
    for (size_t i = 1; i <= meeting->exchange.members; i++) {
        struct attendant *member = &meeting->parties[i];
        member->rows = muster__vertical_matcher_take(member->matcher, &member->joint);
    }
    return status;
}

void expect_joint(const struct meeting *meeting, const char *const *ids)
{
    for (size_t party = 0; party <= meeting->exchange.members; party++) {
        const struct attendant *attendant = &meeting->parties[party];
        size_t count = 0;
        cr_assert_not_null(attendant->rows, "party %zu", party);
        for (; ids[count]; count++) {
            cr_assert_lt(count, attendant->joint, "party %zu", party);
            cr_assert_str_eq(attendant->table.ids[attendant->rows[count]], ids[count]);
        }
        cr_assert_eq(attendant->joint, count, "party %zu", party);
    }
}

void expect_refused(struct meeting *meeting, meeting_way *way, enum muster_status status, const char *text)
{
    enum muster_status is = meet(meeting, way);
    cr_assert_eq(is, status, "%s: %s", muster_status_name(is), meeting->error.text);
    cr_assert_eq(meeting->error.status, status);
    cr_assert_str_eq(meeting->error.text, text);
    cr_assert_null(meeting->parties[MASTER].rows);
}
