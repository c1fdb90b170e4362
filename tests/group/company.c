/* Groups whose rosters a test hands out itself. The library's calls to its membership come here. */
#include <config.h>

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "group/company.h"
#include "group/internal.h"

/* ---- the membership that is played ---- */

struct membership {
    const struct membership_events *events;
    void *context;
    uint64_t incarnation;
    char address[256];
    char name[64];
    bool finished;
};

static struct {
    pthread_mutex_t lock;
    pthread_mutex_t telling; /* one roster at a time */
    uint32_t size;
    uint64_t epoch;
    struct membership *members[COMPANY_MAX]; /* by rank; NULL: gone, or not there yet */
    struct membership *last[COMPANY_MAX];
    struct roster_entry entries[COMPANY_MAX];
    char names[COMPANY_MAX][64];
    char addresses[COMPANY_MAX][256];
} played = {.lock = PTHREAD_MUTEX_INITIALIZER, .telling = PTHREAD_MUTEX_INITIALIZER};

static struct roster *make_roster(uint32_t rank)
{
    size_t texts = 0;
    for (uint32_t i = 0; i < played.size; i++)
        texts += strlen(played.names[i]) + strlen(played.addresses[i]) + 2;
    struct roster *roster = calloc(1, sizeof(*roster) + played.size * sizeof(struct roster_entry) + texts);
    struct roster_entry *entries = (struct roster_entry *)(roster + 1);
    char *text = (char *)(entries + played.size);
    for (uint32_t i = 0; i < played.size; i++) {
        entries[i] = played.entries[i];
        entries[i].name = strcpy(text, played.names[i]);
        text += strlen(text) + 1;
        entries[i].address = strcpy(text, played.addresses[i]);
        text += strlen(text) + 1;
    }
    atomic_init(&roster->references, 1);
    roster->epoch = played.epoch;
    roster->size = played.size;
    roster->rank = rank;
    memset(roster->secret, 7, sizeof(roster->secret));
    roster->entries = entries;
    return roster;
}

/* Everyone is told what is true now. */
static void tell_all(void)
{
    pthread_mutex_lock(&played.telling);
    for (uint32_t i = 0; i < COMPANY_MAX; i++) {
        pthread_mutex_lock(&played.lock);
        struct membership *member = i < played.size ? played.members[i] : NULL;
        struct roster *roster = member ? make_roster(i) : NULL;
        pthread_mutex_unlock(&played.lock);
        if (member)
            member->events->on_roster(member->context, roster);
        muster__roster_release(roster);
    }
    pthread_mutex_unlock(&played.telling);
}

enum muster_status __wrap_muster__membership_start(const char *coordinator,
                                                   const struct muster_group_options *options,
                                                   const char *address, uint16_t port, uint64_t incarnation,
                                                   const struct membership_events *events, void *context,
                                                   struct membership **result, struct muster_error *error);
void __wrap_muster__membership_finish(struct membership *membership);
void __wrap_muster__membership_free(struct membership *membership);

enum muster_status __wrap_muster__membership_start(const char *coordinator,
                                                   const struct muster_group_options *options,
                                                   const char *address, uint16_t port, uint64_t incarnation,
                                                   const struct membership_events *events, void *context,
                                                   struct membership **result, struct muster_error *error)
{
    (void)coordinator;
    (void)error;
    struct membership *membership = calloc(1, sizeof(*membership));
    uint32_t rank = (uint32_t)atoi(options->name + 1);
    *membership = (struct membership){.events = events, .context = context, .incarnation = incarnation};
    if (address)
        snprintf(membership->address, sizeof(membership->address), "%s", address);
    else
        snprintf(membership->address, sizeof(membership->address), "127.0.0.1:%u", (unsigned)port);
    *result = membership;
    pthread_mutex_lock(&played.lock);
    played.members[rank] = membership;
    snprintf(played.names[rank], sizeof(played.names[rank]), "%s", options->name);
    strcpy(played.addresses[rank], membership->address);
    played.entries[rank].incarnation = incarnation;
    played.entries[rank].state = MUSTER_MEMBER_PRESENT;
    played.entries[rank].restarted = played.epoch > 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < options->members; i++)
        count += played.members[i] ? 1 : 0;
    bool complete = count == options->members || played.epoch > 0;
    if (complete) {
        played.size = options->members;
        played.epoch++;
    }
    pthread_mutex_unlock(&played.lock);
    if (complete)
        tell_all();
    return MUSTER_OK;
}

void __wrap_muster__membership_finish(struct membership *membership)
{
    pthread_mutex_lock(&played.lock);
    for (uint32_t i = 0; i < played.size; i++) {
        if (played.members[i] == membership)
            played.entries[i].state = MUSTER_MEMBER_FINISHED;
    }
    played.epoch++;
    pthread_mutex_unlock(&played.lock);
    tell_all();
}

void __wrap_muster__membership_free(struct membership *membership)
{
    pthread_mutex_lock(&played.telling);
    pthread_mutex_lock(&played.lock);
    for (uint32_t i = 0; i < COMPANY_MAX; i++) {
        if (played.members[i] == membership)
            played.members[i] = NULL;
    }
    pthread_mutex_unlock(&played.lock);
    pthread_mutex_unlock(&played.telling);
    free(membership);
}

/* ---- the company ---- */

struct muster_group_options company_options(void)
{
    struct muster_group_options options;
    muster_group_options_init(&options);
    options.group = "company";
    options.join_timeout_ms = LONG_MS;
    options.grace_ms = 5000;
    options.eager_size = (size_t)64 << 10;
    options.on_warning = NULL;
    return options;
}

static void *run_network(void *context)
{
    muster_fixture_run(context);
    return NULL;
}

struct joining {
    struct company *company;
    uint32_t rank;
    const char *coordinator;
    const struct muster_group_options *options;
};

static void join(void *context)
{
    struct joining *joining = context;
    char name[16];
    struct muster_error error;
    struct muster_group_options options = joining->options ? *joining->options : company_options();
    snprintf(name, sizeof(name), "m%u", (unsigned)joining->rank);
    options.name = name;
    options.members = joining->company->size;
    enum muster_status status =
        muster_group_join(joining->coordinator, &options, &joining->company->groups[joining->rank], &error);
    if (status != MUSTER_OK)
        fprintf(stderr, "joining: %s\n", error.text);
}

static const char *where_is(const char *where)
{
    return strncmp(where, "local:", 6) == 0     ? "local:company"
           : strncmp(where, "fixture:", 8) == 0 ? "fixture:company/coordinator"
                                                : "127.0.0.1:1";
}

void company_begin(struct company *company, uint32_t size, const char *where,
                   const struct muster_group_options *options)
{
    struct side sides[COMPANY_MAX];
    struct joining joining[COMPANY_MAX];
    *company = (struct company){.size = size};
    played.size = 0;
    played.epoch = 0;
    if (strncmp(where, "fixture:", 8) == 0) {
        company->network = muster_fixture_new("company");
        pthread_create(&company->pump, NULL, run_network, company->network);
    }
    for (uint32_t i = 0; i < size; i++) {
        joining[i] = (struct joining){company, i, where_is(where), options};
        side_begin(&sides[i], join, &joining[i]);
    }
    for (uint32_t i = 0; i < size; i++)
        side_end(&sides[i]);
    for (uint32_t i = 0; i < size; i++) {
        cr_assert(company->groups[i] != NULL);
        cr_assert_eq(muster_group_rank(company->groups[i]), i);
        cr_assert_eq(muster_group_size(company->groups[i]), size);
    }
}

static void free_member(struct company *company, uint32_t rank, void *context)
{
    (void)context;
    muster_group_free(company->groups[rank]);
    company->groups[rank] = NULL;
}

void company_end(struct company *company)
{
    company_each(company, free_member, NULL);
    if (!company->network)
        return;
    muster_fixture_stop(company->network);
    pthread_join(company->pump, NULL);
    muster_fixture_free(company->network);
}

void company_kill(struct company *company, uint32_t rank)
{
    free_member(company, rank, NULL);
}

void company_restart(struct company *company, uint32_t rank, const struct muster_group_options *options)
{
    const char *where = company->network                                    ? "fixture:"
                        : strncmp(played.addresses[rank], "local:", 6) == 0 ? "local:"
                                                                            : "";
    struct joining joining = {company, rank, where_is(where), options};
    join(&joining);
    cr_assert(company->groups[rank] != NULL);
}

void company_set_state(struct company *company, uint32_t rank, enum muster_member_state state)
{
    (void)company;
    pthread_mutex_lock(&played.lock);
    played.entries[rank].state = state;
    played.epoch++;
    pthread_mutex_unlock(&played.lock);
    tell_all();
}

void company_set_address(struct company *company, uint32_t rank, const char *address)
{
    (void)company;
    pthread_mutex_lock(&played.lock);
    snprintf(played.addresses[rank], sizeof(played.addresses[rank]), "%s", address);
    played.epoch++;
    pthread_mutex_unlock(&played.lock);
    tell_all();
}

/* ---- threads ---- */

static void *run_side(void *context)
{
    struct side *side = context;
    side->function(side->context);
    return NULL;
}

void side_begin(struct side *side, void (*function)(void *context), void *context)
{
    side->function = function;
    side->context = context;
    cr_assert_eq(pthread_create(&side->thread, NULL, run_side, side), 0);
}

void side_end(struct side *side)
{
    pthread_join(side->thread, NULL);
}

struct each {
    struct company *company;
    uint32_t rank;
    void (*function)(struct company *company, uint32_t rank, void *context);
    void *context;
};

static void run_each(void *context)
{
    struct each *each = context;
    each->function(each->company, each->rank, each->context);
}

void company_each(struct company *company,
                  void (*function)(struct company *company, uint32_t rank, void *context), void *context)
{
    struct side sides[COMPANY_MAX];
    struct each each[COMPANY_MAX];
    for (uint32_t i = 0; i < company->size; i++) {
        each[i] = (struct each){company, i, function, context};
        side_begin(&sides[i], run_each, &each[i]);
    }
    for (uint32_t i = 0; i < company->size; i++)
        side_end(&sides[i]);
}

/* ---- messages ---- */

static float number(size_t i, unsigned seed)
{
    return (float)((i * 7 + seed * 13) % 1009);
}

struct muster_message make_numbers(struct muster_array *array, float *data, size_t count, unsigned seed)
{
    struct muster_message message = MUSTER_MESSAGE_INIT;
    for (size_t i = 0; i < count; i++)
        data[i] = number(i, seed);
    *array = (struct muster_array){.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {count}, .data = data};
    message.kind = MUSTER_TRAIN;
    message.arrays = array;
    message.array_count = 1;
    return message;
}

bool is_numbers(const struct muster_message *message, size_t count, unsigned seed)
{
    if (message->kind != MUSTER_TRAIN || message->array_count != 1 ||
        muster_array_count(&message->arrays[0]) != count || message->value_count)
        return false;
    const float *data = message->arrays[0].data;
    for (size_t i = 0; i < count; i++) {
        if (data[i] != number(i, seed))
            return false;
    }
    return true;
}

enum muster_status send_numbers(struct muster_group *group, uint32_t to, uint32_t tag, size_t count,
                                unsigned seed, int64_t limit_ms, struct muster_error *error)
{
    struct muster_array array;
    float *data = malloc(count * sizeof(*data) + 1);
    struct muster_message message = make_numbers(&array, data, count, seed);
    enum muster_status status = muster_group_send(group, to, tag, &message, limit_ms, error);
    free(data);
    return status;
}

void expect_not_received(struct muster_group *group, uint32_t to, uint32_t tag, size_t count, unsigned seed,
                         const char *text)
{
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status;
    int64_t limit_ms = SHORT_MS;
    do {
        status = send_numbers(group, to, tag, count, seed, limit_ms, &error);
        limit_ms *= 2;
    } while (status != MUSTER_OK && !strstr(error.text, text)); /* or the test's limit ends it */
    cr_assert_eq(status, MUSTER_TIMEOUT, "%s", error.text);
}

static void send_it(void *context)
{
    struct sending *sending = context;
    sending->status = send_numbers(sending->group, sending->to, sending->tag, sending->count, sending->seed,
                                   sending->limit_ms, &sending->error);
    atomic_store(&sending->ended, true);
}

void sending_begin(struct sending *sending, struct muster_group *group, uint32_t to, uint32_t tag,
                   size_t count, unsigned seed)
{
    *sending = (struct sending){.group = group, .to = to, .tag = tag, .count = count, .seed = seed};
    sending->limit_ms = MUSTER_NO_LIMIT;
    side_begin(&sending->side, send_it, sending);
}

enum muster_status sending_end(struct sending *sending)
{
    side_end(&sending->side);
    return sending->status;
}

/* A thread that has been woken is not asleep any more, even when it does not run yet; nor is one that waits for the disk, as a
 * coordinator does that writes its file. */
static bool is_asleep(const char *thread)
{
    char path[64], line[512];
    snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return true; /* it has ended */
    size_t size = fread(line, 1, sizeof(line) - 1, file);
    fclose(file);
    line[size] = '\0';
    const char *name_end = strrchr(line, ')');
    return !name_end || (name_end[2] != 'R' && name_end[2] != 'D');
}

bool others_sleep(void)
{
    char own[24];
    bool asleep = true;
    DIR *threads = opendir("/proc/self/task");
    cr_assert_not_null(threads);
    snprintf(own, sizeof(own), "%ld", syscall(SYS_gettid));
    for (const struct dirent *thread; asleep && (thread = readdir(threads));)
        asleep = *thread->d_name == '.' || strcmp(thread->d_name, own) == 0 || is_asleep(thread->d_name);
    closedir(threads);
    return asleep;
}

static bool all_wait(struct muster_group *group, size_t offered)
{
    size_t count = 0;
    pthread_mutex_lock(&group->lock);
    bool receives = group->inbox.receives;
    for (uint32_t i = 0; i < group->size; i++) {
        for (struct parcel *parcel = group->links[i].outbox.offered.first; parcel; parcel = parcel->next)
            count++;
    }
    pthread_mutex_unlock(&group->lock);
    return receives && count >= offered;
}

void company_await(struct muster_group *group, size_t offered)
{
    AWAIT(all_wait(group, offered));
}

void expect_numbers(struct muster_group *group, uint32_t from, uint32_t tag, size_t count, unsigned seed)
{
    struct muster_message message;
    struct muster_error error = {MUSTER_OK, ""};
    uint32_t source = 99, tagged = 99;
    enum muster_status status =
        muster_group_receive(group, from, tag, MUSTER_NO_LIMIT, &message, &source, &tagged, &error);
    cr_assert_eq(status, MUSTER_OK, "%s", error.text);
    cr_assert(is_numbers(&message, count, seed));
    cr_assert(from == MUSTER_ANY_RANK || source == from);
    cr_assert(tag == MUSTER_ANY_TAG || tagged == tag);
    muster_message_clear(&message);
}
