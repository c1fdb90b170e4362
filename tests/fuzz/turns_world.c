/* The world of the turn state machine: how it begins and ends, its turns, and what must hold of them. */
#include <config.h>

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "fuzz/turns_world.h"
#include "proxy/internal.h"

struct world world;

/* ---- in the place of the C library ---- */

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);
ssize_t __wrap_getrandom(void *to, size_t size, unsigned flags);
void __wrap_muster__payload_fill(const struct buffer *body, const struct muster_message *message,
                                 uint64_t end);
void __real_muster__payload_fill(const struct buffer *body, const struct muster_message *message,
                                 uint64_t end);

/* Nobody waits: what the input says happens meanwhile, and when it says no more, time passes. */
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock)
{
    enum { MANY = 100000, STEP_MS = 50 };
    (void)condition;
    CHECK(++world.waits < MANY);
    pthread_mutex_unlock(lock);
    if (world.input.left)
        do_event();
    else if (!muster_fixture_step(world.network))
        muster_fixture_advance(world.network, STEP_MS);
    pthread_mutex_lock(lock);
    return 0;
}

/* While an answer is being copied, the network goes on: what was copied is sent, or its stream breaks. */
void __wrap_muster__payload_fill(const struct buffer *body, const struct muster_message *message,
                                 uint64_t end)
{
    uint8_t steps = take_byte(&world.input);
    if (steps & 0x80)
        muster_fixture_drop(world.network, steps >> 4 & 7);
    for (size_t i = 0; i < (steps & 7); i++)
        muster_fixture_step(world.network);
    __real_muster__payload_fill(body, message, end);
    for (size_t i = 0; i < (steps >> 3 & 1); i++)
        muster_fixture_step(world.network);
}

ssize_t __wrap_getrandom(void *to, size_t size, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < size; i++) {
        world.random = world.random * 6364136223846793005U + 1442695040888963407U;
        ((uint8_t *)to)[i] = (uint8_t)(world.random >> 56);
    }
    return (ssize_t)size;
}

/* ---- messages ---- */

static const size_t element_counts[] = {0, 3, 2100, 20000};

static float element(size_t i, uint64_t id, uint64_t serial)
{
    return (float)((i * 7 + id * 31 + serial * 1009) % 65536);
}

static void fill_in(struct made *made, enum muster_kind kind, uint64_t id, uint64_t serial,
                    unsigned size_class)
{
    struct muster_message *message = &made->message;
    size_t count = element_counts[size_class];
    for (size_t i = 0; i < count + 2; i++)
        made->data[i] = element(i, id, serial);
    *message = (struct muster_message){.kind = kind};
    if (kind == MUSTER_TRAIN || kind == MUSTER_EVALUATE) {
        made->array = (struct muster_array){
            .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {count}, .data = made->data};
        made->scalars[0] = (struct muster_scalar){"id", (double)id};
        made->scalars[1] = (struct muster_scalar){"serial", (double)serial};
        message->arrays = &made->array;
        message->array_count = 1;
        message->scalars = made->scalars;
        message->scalar_count = 2;
    } else if (kind == MUSTER_APPLICATION) {
        made->data[0] = (float)id;
        made->data[1] = (float)serial;
        message->type = "t";
        message->data = made->data;
        message->size = (count + 2) * sizeof(made->data[0]);
    } else if (kind == MUSTER_FAILURE) {
        message->code = (int32_t)id;
        message->text = "it failed";
    }
}

const struct muster_message *make_message(enum muster_kind kind, uint64_t id, uint64_t serial,
                                          unsigned size_class)
{
    static struct made made;
    fill_in(&made, kind, id, serial, size_class);
    return &made.message;
}

struct made *make_own_message(enum muster_kind kind, uint64_t id, uint64_t serial, unsigned size_class)
{
    struct made *made = malloc(sizeof(*made));
    CHECK(made);
    fill_in(made, kind, id, serial, size_class);
    return made;
}

void read_message(const struct muster_message *message, uint64_t *id, uint64_t *serial)
{
    float numbers[2] = {0, 0};
    *id = *serial = 0;
    if (message->kind == MUSTER_TRAIN || message->kind == MUSTER_EVALUATE) {
        numbers[0] = (float)muster_message_scalar(message, "id", 0);
        numbers[1] = (float)muster_message_scalar(message, "serial", 0);
    } else if (message->kind == MUSTER_APPLICATION && message->data && message->size >= sizeof(numbers)) {
        memcpy(numbers, message->data, sizeof(numbers));
    }
    if (numbers[0] >= 0 && numbers[0] < TURNS_MAX)
        *id = (uint64_t)numbers[0];
    if (numbers[1] >= 0 && numbers[1] < SERIALS_MAX)
        *serial = (uint64_t)numbers[1];
}

bool is_whole(const struct muster_message *message, uint64_t id, uint64_t serial, unsigned size_class)
{
    const struct muster_message *wanted = make_message(message->kind, id, serial, size_class);
    if (message->array_count != wanted->array_count || message->scalar_count != wanted->scalar_count ||
        message->size != wanted->size ||
        (message->size && memcmp(message->data, wanted->data, message->size)))
        return false;
    if (!message->array_count)
        return true;
    const struct muster_array *array = &message->arrays[0];
    size_t count = element_counts[size_class];
    return array->dtype == MUSTER_FLOAT32 && array->dimensions == 1 && array->shape[0] == count &&
           (count == 0 || memcmp(array->data, wanted->arrays[0].data, count * sizeof(float)) == 0);
}

uint64_t next_serial(void)
{
    return world.serials + 1 < SERIALS_MAX ? ++world.serials : 0;
}

/* ---- turns ---- */

/* An answer that a turn was given: it is to that turn, and was given to no other. */
static void check_answer(const struct asked *asked, const struct muster_message *answer)
{
    uint64_t id, serial;
    uint64_t own = (uint64_t)(asked - world.asked);
    read_message(answer, &id, &serial);
    CHECK(answer->kind == asked->kind);
    if (asked->consumed && !asked->round) {
        CHECK(serial == asked->serial);
        CHECK(serial == 0 || id == own);
    }
    if (world.lied)
        return;
    CHECK(id == 0 || id == own);
    CHECK(serial == 0 || !world.given[serial]);
    world.given[serial] = true;
}

static void turn_ended(void *context, struct proxy *proxy, enum muster_status status,
                       struct muster_message *answer)
{
    struct asked *asked = context;
    CHECK(!asked->ended);
    asked->ended = true;
    if (status == MUSTER_OK)
        check_answer(asked, answer);
    else
        CHECK(status == MUSTER_PROTOCOL || status == MUSTER_REFUSED || answer->kind == MUSTER_EMPTY ||
              answer->kind == MUSTER_UNKNOWN);
    asked->answer = *answer; /* until the end: it outlives all else */
    if (asked->chain)
        begin_turn(proxy, asked->kind, asked->size_class, 1000, asked->chain - 1);
}

static struct asked *new_asked(enum muster_kind kind, unsigned size_class)
{
    if (world.asked_count + 1 >= TURNS_MAX)
        return NULL;
    struct asked *asked = &world.asked[++world.asked_count];
    *asked = (struct asked){.kind = kind, .size_class = size_class};
    return asked;
}

void begin_turn(struct proxy *proxy, enum muster_kind kind, unsigned size_class, int64_t limit_ms,
                unsigned chain)
{
    struct asked *asked = new_asked(kind, size_class);
    if (!asked)
        return;
    asked->chain = chain;
    const struct muster_message *instruction =
        make_message(kind, (uint64_t)(asked - world.asked), 0, size_class);
    if (proxy_run_async(proxy, instruction, limit_ms, turn_ended, asked, NULL) != MUSTER_OK) {
        CHECK(!asked->ended);
        asked->ended = true;
    }
}

struct proxy *choose_proxy(uint8_t choice)
{
    struct proxy **proxies;
    size_t count;
    struct proxy *chosen = NULL;
    if (choice & 0x80)
        return world.held[choice % HELD_MAX] ? proxy_retain(world.held[choice % HELD_MAX]) : NULL;
    if (participant_manager_get_participants(world.manager, 0, 0, &proxies, &count, NULL) != MUSTER_OK)
        return NULL;
    if (count)
        chosen = proxy_retain(proxies[choice % count]);
    proxy_release_all(proxies, count);
    return chosen;
}

struct round_view {
    struct asked *asked;
    size_t told;
    bool heard[PEERS + 2];
};

static enum muster_status round_answer(void *context, size_t index, struct proxy *proxy,
                                       const struct muster_message *answer, struct muster_error *reason)
{
    struct round_view *view = context;
    (void)proxy;
    CHECK(!view->asked->ended);
    CHECK(index >= sizeof(view->heard) || !view->heard[index]);
    if (index < sizeof(view->heard))
        view->heard[index] = true;
    view->told++;
    check_answer(view->asked, answer);
    snprintf(reason->text, sizeof(reason->text), REASON);
    return view->told % 3 ? MUSTER_OK : MUSTER_FORMAT;
}

/* The instruction in memory that is freed when the round is over: nothing may refer to it after that. */
static void run_on(struct proxy **proxies, size_t count, struct asked *asked, int64_t limit_ms, size_t enough)
{
    struct round_view view = {.asked = asked};
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    options.deadline_ms = limit_ms;
    options.enough = enough;
    struct proxy_round_result result;
    struct muster_message instruction =
        *make_message(asked->kind, (uint64_t)(asked - world.asked), 0, asked->size_class);
    struct muster_array array = {0};
    struct muster_scalar scalars[2] = {{NULL, 0}};
    const void *from = instruction.array_count ? instruction.arrays[0].data : instruction.data;
    size_t size = instruction.size;
    if (instruction.array_count) {
        array = instruction.arrays[0];
        memcpy(scalars, instruction.scalars, sizeof(scalars));
        instruction.arrays = &array;
        instruction.scalars = scalars;
        size = (size_t)array.shape[0] * sizeof(float);
    }
    void *data = malloc(size + 1);
    CHECK(data);
    memcpy(data, from, size);
    array.data = instruction.data = data;
    proxy_run_all(proxies, count, &instruction, &options, round_answer, &view, &result, NULL);
    free(data);
    asked->ended = true;
    CHECK(result.count == 0 || result.count == count);
    CHECK(result.answered + result.late + result.failed == result.count);
    CHECK(result.answered <= view.told);
    proxy_round_result_clear(&result);
}

void run_round(enum muster_kind kind, unsigned size_class, int64_t limit_ms, size_t enough)
{
    struct proxy **proxies;
    size_t count;
    struct asked *asked = new_asked(kind, size_class);
    if (!asked)
        return;
    asked->round = true;
    asked->ended = true;
    if (participant_manager_get_participants(world.manager, 0, 0, &proxies, &count, NULL) != MUSTER_OK)
        return;
    asked->ended = false;
    world.depth++;
    run_on(proxies, count, asked, limit_ms, enough);
    world.depth--;
    proxy_release_all(proxies, count);
}

/* ---- beginning and end ---- */

static void on_event(void *context, const struct participant_manager_event *event)
{
    (void)context;
    world.joined += event->kind == PARTICIPANT_MANAGER_JOINED;
    world.left += event->kind == PARTICIPANT_MANAGER_LEFT;
}

static struct participant_manager_options choose_options(void)
{
    static const uint64_t budgets[] = {0, 1, 12000, 1 << 20};
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    uint8_t choice = take_byte(&world.input);
    options.listen = MANAGER_ADDRESS;
    options.on_event = on_event;
    options.max_message_size = 32768;
    options.max_payload_size = 65536;
    options.chunk_threshold = 4096;
    options.upload_budget = budgets[choice & 3];
    options.upload_stall_ms = 500;
    options.session_grace_ms = choice & 4 ? 0 : 3000;
    options.progress_extends_ms = choice & 8 ? 700 : 0;
    options.join_timeout_ms = 2000;
    options.stop_timeout_ms = 1000;
    options.max_participants = choice & 16 ? 3 : 0;
    options.join_rate = choice & 32 ? 5 : 0;
    options.max_participants_per_address = choice & 64 ? 2 : 0;
    return options;
}

void world_begin(struct input input)
{
    memset(&world, 0, sizeof(world));
    world.input = input;
    world.network = muster_fixture_new("test");
    CHECK(world.network);
    struct participant_manager_options options = choose_options();
    CHECK(participant_manager_start(&options, &world.manager, NULL) == MUSTER_OK);
    raw_listen();
}

/* Nothing is left of any turn or participant. */
static void check_idle(const struct participant_manager *manager)
{
    const struct budget *uploads = &manager->budget;
    const struct registry *registry = &manager->registry;
    for (uint64_t i = 1; i <= world.asked_count; i++)
        CHECK(world.asked[i].ended);
    CHECK(uploads->reserved == 0 && uploads->held == 0 && uploads->holders == 0);
    CHECK(uploads->waiting_count == 0 && !uploads->timed);
    CHECK(ring_is_empty(&uploads->waiting) && ring_is_empty(&uploads->granted));
    CHECK(manager->drain.pending <= 1 && ring_is_empty(&registry->streams) && ring_is_empty(&registry->open));
    CHECK(registry->open_count == 0 && registry->admitted_count == 0);
    CHECK(!registry->names && !registry->addresses);
    CHECK(world.joined == world.left);
}

static void end_raw_server(void)
{
    const struct transport_ops *ops = world.network->ops;
    ops->close_listener(world.raw_listener);
    ops->cut_listener(world.raw_listener);
    muster_fixture_settle(world.network);
    CHECK(world.raw_stopped);
    ops->free_listener(world.raw_listener);
}

void world_end(void)
{
    bool server_first = world.asked_count & 1;
    world.input.left = 0;
    muster_fixture_lose(world.network, false);
    muster_fixture_refuse(world.network, false);
    muster_fixture_fail_send(world.network, 0);
    if (server_first)
        participant_manager_stop(world.manager);
    for (size_t i = 0; i < MEMBERS; i++)
        member_free(&world.members[i]);
    participant_manager_stop(world.manager);
    check_idle(world.manager);
    participant_manager_free(world.manager);
    end_raw_server();
    muster_fixture_advance(world.network, 1000);
    for (size_t i = 0; i < PEERS; i++) {
        peer_free(&world.clients[i]);
        peer_free(&world.servers[i]);
    }
    for (size_t i = 0; i < HELD_MAX; i++)
        proxy_release(world.held[i]);
    for (uint64_t i = 1; i <= world.asked_count; i++)
        muster_message_clear(&world.asked[i].answer);
    muster_fixture_free(world.network);
}
