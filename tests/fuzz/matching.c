/*
 * A matching of which master and members change what they say: the first byte says which way they match, and of each
 * message the next one what becomes of it. Whatever that is, it ends with rows that go together or with a reason.
 */
#include <config.h>

#include <sodium.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "learning/vertical/exchange.h"
#include "learning/vertical/match_message.h"
#include "learning/vertical/matching.h"
#include "learning/vertical/points.h"
#include "learning/vertical/table.h"

enum { MEMBERS = 2, LIMIT = 6, STRETCH = 40 };

static const char *const ids[MEMBERS + 1][5] = {
    {"a", "d", "c", "b", "e"}, {"e", "c", "x", "a", "\xc3\xa9"}, {"y", "a", "c", "zz", "e"}};

struct fuzzed {
    struct input input;
    struct muster_vertical_table tables[MEMBERS + 1];
    size_t *orders[MEMBERS + 1];
    struct muster_vertical_member_options options[MEMBERS];
    struct muster__vertical_matcher *matchers[MEMBERS];
    size_t changes;
};

/* ---- chance ---- */

static uint8_t seed[randombytes_SEEDBYTES];

/* The same input is always the same run. */
static void draw(void *bytes, size_t size)
{
    sodium_increment(seed, sizeof(seed));
    randombytes_buf_deterministic(bytes, size, seed);
}

static uint32_t draw_number(void)
{
    uint32_t number;
    draw(&number, sizeof(number));
    return number;
}

static const char *draw_name(void)
{
    return "fuzz";
}

static struct randombytes_implementation chance = {
    .implementation_name = draw_name, .random = draw_number, .buf = draw};

static void set_up(void)
{
    static bool done;
    memset(seed, 0, sizeof(seed));
    CHECK(done || randombytes_set_implementation(&chance) == 0);
    CHECK(done || sodium_init() >= 0);
    done = true;
}

/* ---- messages ---- */

/* One as it arrives: with an array on the heap that ends where its data does. */
struct carried {
    struct muster_message message;
    struct muster_array array;
    struct muster_value values[MUSTER__VERTICAL_NUMBERS_MAX];
    uint8_t *data;
};

static size_t size_of(const struct muster_array *array)
{
    return muster_array_count(array) * muster_dtype_size(array->dtype);
}

static void set_data(struct carried *carried, const void *bytes, size_t size)
{
    uint8_t *data = malloc(size);
    CHECK(data || size == 0);
    if (size > 0 && bytes)
        memcpy(data, bytes, size);
    else if (size > 0)
        memset(data, 0, size);
    free(carried->data);
    carried->data = data;
    carried->array.data = data;
}

static void copy(struct carried *carried, const struct muster_message *message)
{
    *carried = (struct carried){.message = *message};
    memcpy(carried->values, message->values, message->value_count * sizeof(*message->values));
    carried->message.values = carried->values;
    if (message->array_count == 0)
        return;
    carried->array = *message->arrays;
    carried->message.arrays = &carried->array;
    set_data(carried, message->arrays->data, size_of(message->arrays));
}

/* Another array: of any shape and type, with bytes of the input or without. */
static void change_array(struct carried *carried, struct input *input)
{
    static const uint64_t widths[] = {1, POINT_SIZE, 31, 0};
    carried->array = (struct muster_array){.dtype = (enum muster_dtype)(1 + take_byte(input) % MUSTER_BOOL)};
    carried->array.dimensions = take_byte(input) % 4;
    carried->array.shape[0] = take_byte(input) % STRETCH;
    carried->array.shape[1] = widths[take_byte(input) % 4];
    carried->array.shape[2] = 1;
    for (uint32_t i = carried->array.dimensions; i < MUSTER_DIMENSIONS_MAX; i++)
        carried->array.shape[i] = 0;
    size_t size = size_of(&carried->array);
    set_data(carried, NULL, size);
    struct input bytes = take_bytes(input, size);
    if (bytes.left > 0)
        memcpy(carried->data, bytes.at, bytes.left);
    carried->message.arrays = &carried->array;
    carried->message.array_count = 1;
}

static void change_rows(struct carried *carried, struct input *input)
{
    if (carried->message.array_count == 0 || carried->array.dimensions == 0)
        return;
    size_t before = size_of(&carried->array);
    uint8_t *old = carried->data;
    carried->data = NULL;
    carried->array.shape[0] = take_byte(input) % STRETCH;
    size_t size = size_of(&carried->array);
    set_data(carried, NULL, size);
    if (before > 0 && size > 0)
        memcpy(carried->data, old, before < size ? before : size);
    free(old);
}

static void change_bytes(struct carried *carried, struct input *input)
{
    size_t size = carried->message.array_count > 0 ? size_of(&carried->array) : 0;
    struct input bytes;
    size_t at = take_size(input);
    bytes = take_bytes(input, take_byte(input));
    for (size_t i = 0; i < bytes.left && size > 0; i++)
        carried->data[(at + i) % size] ^= bytes.at[i];
}

static void change_value(struct carried *carried, struct input *input)
{
    static const char *const texts[] = {MATCH_IDS,  MATCH_JOINT, MATCH_HIDE, MATCH_PASS,
                                        MATCH_MARK, "",          "\x1b"};
    if (carried->message.value_count == 0)
        return;
    struct muster_value *value = &carried->values[take_byte(input) % carried->message.value_count];
    uint8_t byte = take_byte(input);
    if (value->kind == MUSTER_VALUE_TEXT)
        value->text = texts[byte % (sizeof(texts) / sizeof(texts[0]))];
    else if (value->kind == MUSTER_VALUE_INTEGER)
        value->integer = byte == 255 ? INT64_MIN : byte == 254 ? INT64_MAX : byte - 8;
    else
        value->boolean = !value->boolean;
}

static void change(struct fuzzed *fuzzed, struct carried *carried)
{
    uint8_t byte = take_byte(&fuzzed->input), what = (byte & 0x7f) % 6;
    if (byte < 0x80)
        return;
    fuzzed->changes++;
    if (what == 0)
        change_array(carried, &fuzzed->input);
    else if (what == 1)
        change_rows(carried, &fuzzed->input);
    else if (what == 2)
        change_bytes(carried, &fuzzed->input);
    else if (what == 3)
        change_value(carried, &fuzzed->input);
    else if (what == 4)
        carried->message.array_count = 0;
    else if (carried->message.value_count > 0)
        carried->message.value_count--;
}

/* ---- a matching ---- */

static enum muster_status ask(struct fuzzed *fuzzed, size_t member, const struct muster_message *instruction,
                              match_take *take, void *taker, struct muster_error *error)
{
    struct carried there, back;
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    copy(&there, instruction);
    change(fuzzed, &there);
    error->text[0] = '\0';
    enum muster_status status =
        muster__vertical_matcher_answer(fuzzed->matchers[member], NULL, &there.message, &answer, error);
    if (status == MUSTER_OK) {
        copy(&back, &answer);
        change(fuzzed, &back);
        status = take(taker, member, &back.message, error);
        free(back.data);
    }
    free(there.data);
    CHECK(status == MUSTER_OK || (error->status == status && error->text[0]));
    return status;
}

static enum muster_status run_round(void *context, const struct muster_message *const *instructions,
                                    match_take *take, void *taker, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; status == MUSTER_OK && i < MEMBERS; i++)
        status = ask(context, i, instructions[i], take, taker, error);
    return status;
}

/* Rows of the table, ascending by id; only one that joins left may lack some. */
static void check_rows(const struct muster_vertical_table *table, const size_t *rows, size_t count, bool left)
{
    const char *last = NULL;
    CHECK(count > 0);
    for (size_t i = 0; i < count; i++) {
        if (rows[i] == MUSTER__VERTICAL_NO_ROW) {
            CHECK(left);
            continue;
        }
        CHECK(rows[i] < table->rows);
        CHECK(!last || strcmp(last, table->ids[rows[i]]) < 0);
        last = table->ids[rows[i]];
    }
}

static void match(struct fuzzed *fuzzed, bool privately, const struct muster_vertical_options *options)
{
    const struct match_exchange exchange = {MEMBERS, fuzzed, run_round};
    struct match_master master = {
        .exchange = &exchange, .table = &fuzzed->tables[0], .order = fuzzed->orders[0], .options = options};
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status = (privately ? muster__match_private : muster__match_plain)(&master, &error);
    CHECK(status == MUSTER_OK || (error.status == status && error.text[0] && !master.rows));
    CHECK(status == MUSTER_OK || fuzzed->changes > 0 ||
          (privately && (fuzzed->options[0].left || fuzzed->options[1].left)));
    if (status == MUSTER_OK)
        check_rows(&fuzzed->tables[0], master.rows, master.joint, false);
    for (size_t i = 0; i < MEMBERS; i++) {
        size_t count;
        size_t *rows = muster__vertical_matcher_take(fuzzed->matchers[i], &count);
        CHECK(status != MUSTER_OK || rows || fuzzed->changes > 0);
        if (rows)
            check_rows(&fuzzed->tables[i + 1], rows, count, fuzzed->options[i].left);
        if (rows && status == MUSTER_OK && fuzzed->changes == 0)
            CHECK(count == master.joint);
        free(rows);
    }
    free(master.rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzzed fuzzed = {.input = {data, size}};
    const struct muster_vertical_options options = {.match_limit = LIMIT};
    uint8_t ways = take_byte(&fuzzed.input);
    set_up();
    for (size_t i = 0; i <= MEMBERS; i++) {
        fuzzed.tables[i] = (struct muster_vertical_table){.rows = 5, .ids = ids[i]};
        CHECK(muster__vertical_table_order(&fuzzed.tables[i], &fuzzed.orders[i], NULL) == MUSTER_OK);
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        fuzzed.options[i] =
            (struct muster_vertical_member_options){.match_limit = LIMIT, .left = ways >> i & 1};
        fuzzed.matchers[i] =
            muster__vertical_matcher_new(&fuzzed.tables[i + 1], fuzzed.orders[i + 1], &fuzzed.options[i]);
        CHECK(fuzzed.matchers[i]);
    }
    /* Once more with the same members, of whom some may be in the middle. */
    match(&fuzzed, ways & 4, &options);
    match(&fuzzed, ways & 8, &options);
    for (size_t i = 0; i < MEMBERS; i++)
        muster__vertical_matcher_free(fuzzed.matchers[i]);
    for (size_t i = 0; i <= MEMBERS; i++)
        free(fuzzed.orders[i]);
    return 0;
}
