/* A thread that waits for a stream reads it itself. What it is not to be told, and what comes when it does not wait, is told
   on a thread of the network; and it always wakes. */
#include <config.h>

#include <criterion/criterion.h>

#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include <muster/muster.h>

#include "conformance/fixture.h"

/* ---- streams ---- */

static size_t count_of(struct end *end)
{
    pthread_mutex_lock(&fixture.lock);
    size_t count = end->closed ? SIZE_MAX : end->count;
    pthread_mutex_unlock(&fixture.lock);
    return count;
}

static bool begin_tending(struct end *end)
{
    pthread_mutex_lock(&fixture.lock);
    bool begun = end->stream->ops->tending->begin(end->stream);
    if (begun)
        end->tended = end->stream;
    pthread_mutex_unlock(&fixture.lock);
    return begun;
}

static bool tend(struct end *end, int64_t at)
{
    return end->stream->ops->tending->wait(end->stream, at);
}

static void end_tending(struct end *end)
{
    pthread_mutex_lock(&fixture.lock);
    end->tended = NULL;
    end->stream->ops->tending->end(end->stream);
    pthread_mutex_unlock(&fixture.lock);
}

/* Until there are so many messages; by a thread that has begun. */
static void go_on_tending(struct end *end, size_t count)
{
    while (count_of(end) < count && tend(end, INT64_MAX))
        ;
    end_tending(end);
    wait_messages(end, count);
}

static void tend_until(struct end *end, size_t count)
{
    cr_assert(begin_tending(end));
    go_on_tending(end, count);
}

static void echoes(struct end *end)
{
    end->react = echo;
}

/* A client and a server, which have heard of each other. One of them echoes. */
struct pair {
    struct server *server;
    struct end *asks, *echoes;
};

static struct pair connect_pair(bool from_server)
{
    struct pair pair = {.server = from_server ? server_start(NULL, LIMIT) : server_start_with(echoes)};
    struct end *client = from_server ? client_connect_with(pair.server->address, echo)
                                     : client_connect(pair.server->address, LIMIT);
    struct end *accepted = server_end(pair.server, 0);
    pair.asks = from_server ? accepted : client;
    pair.echoes = from_server ? client : accepted;
    send_number(pair.asks, 0);
    wait_messages(pair.asks, 1);
    return pair;
}

static void turns_by_tending(bool from_server)
{
    begin();
    struct pair pair = connect_pair(from_server);
    size_t tended = 0, turns = scaled(100, 10);
    for (unsigned i = 1; i <= turns; i++) {
        bool early = i % 2; /* or else the answer may be there, and told, when it begins */
        if (early)
            cr_assert(begin_tending(pair.asks));
        send_number(pair.asks, i);
        if (early)
            go_on_tending(pair.asks, i + 1);
        else
            tend_until(pair.asks, i + 1);
    }
    for (unsigned i = 1; i <= turns; i++) {
        const struct message *message = &pair.asks->messages[i];
        cr_assert_eq(number_of(message), i);
        cr_assert(!message->tends || pthread_equal(message->thread, pthread_self()));
        tended += message->tends;
    }
    cr_assert_gt(tended, 0, "a thread that waits is told of messages");
    /* Nobody tends any more. */
    send_number(pair.asks, 0);
    wait_messages(pair.asks, turns + 2);
    cr_assert(!pair.asks->messages[turns + 1].tends);
    send_number(pair.echoes, 0);
    wait_messages(pair.asks, turns + 3);
    conclude();
}

Test(tending, turns_of_a_client)
{
    turns_by_tending(false);
}

Test(tending, turns_of_a_server)
{
    turns_by_tending(true);
}

Test(tending, one_thread_at_a_time)
{
    begin();
    struct pair pair = connect_pair(false);
    cr_assert(begin_tending(pair.asks));
    cr_assert(!begin_tending(pair.asks));
    end_tending(pair.asks);
    cr_assert(begin_tending(pair.asks));
    end_tending(pair.asks);
    conclude();
}

/* More than there are loops, so that some share one. */
Test(tending, connections_take_turns)
{
    enum { CONNECTIONS = 6 };
    struct end *ends[CONNECTIONS];
    begin();
    struct server *server = server_start(NULL, LIMIT);
    size_t turns = scaled(100, 5);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        client_connect_with(server->address, echo);
        ends[i] = server_end(server, i);
        send_number(ends[i], 0);
        wait_messages(ends[i], 1);
    }
    for (unsigned turn = 1; turn <= turns; turn++) {
        for (size_t i = 0; i < CONNECTIONS; i++) {
            send_number(ends[i], turn);
            tend_until(ends[i], turn + 1);
            cr_assert_eq(number_of(&ends[i]->messages[turn]), turn);
        }
    }
    conclude();
}

Test(tending, a_wait_has_a_limit)
{
    begin();
    struct pair pair = connect_pair(false);
    cr_assert(begin_tending(pair.asks));
    cr_assert(!tend(pair.asks, fixture.transport->ops->now(fixture.transport) + 5));
    end_tending(pair.asks);
    conclude();
}

enum { MESSAGES = 40, DEFERRED = 7 };

static bool is_deferred(const uint8_t *data, size_t size)
{
    const struct message message = {.data = (uint8_t *)(uintptr_t)data, .size = size};
    return number_of(&message) % DEFERRED == DEFERRED - 1;
}

Test(tending, what_is_put_off_is_told_in_its_order_on_another_thread)
{
    begin();
    struct pair pair = connect_pair(true);
    pair.asks->puts_off = is_deferred;
    for (unsigned i = 1; i < MESSAGES; i++) {
        send_number(pair.echoes, i);
        if (i % 3 == 0)
            tend_until(pair.asks, i + 1);
    }
    wait_messages(pair.asks, MESSAGES);
    for (unsigned i = 1; i < MESSAGES; i++) {
        cr_assert_eq(number_of(&pair.asks->messages[i]), i);
        cr_assert(i % DEFERRED != DEFERRED - 1 || !pair.asks->messages[i].tends);
    }
    conclude();
}

static bool is_big(const uint8_t *data, size_t size)
{
    (void)data;
    return size > sizeof(unsigned);
}

Test(tending, big_messages_are_told_whole_on_another_thread)
{
    begin();
    size_t size = scaled((size_t)1 << 20, 1);
    struct pair pair = connect_pair(false);
    pair.asks->puts_off = is_big;
    send_body(pair.asks, size, 1);
    send_body(pair.asks, size + 1, 2);
    send_number(pair.asks, 3);
    tend_until(pair.asks, 4);
    cr_assert(is_body(pair.asks->messages[1].data, pair.asks->messages[1].size, size, 1));
    cr_assert(is_body(pair.asks->messages[2].data, pair.asks->messages[2].size, size + 1, 2));
    cr_assert_eq(number_of(&pair.asks->messages[3]), 3);
    cr_assert(!pair.asks->messages[1].tends && !pair.asks->messages[2].tends);
    conclude();
}

/* ---- what wakes a thread that tends ---- */

static struct {
    struct end *end;
    sem_t begun;
    atomic_bool over;
} tender;

static void *tend_for_ever(void *unused)
{
    cr_assert(begin_tending(tender.end));
    sem_post(&tender.begun);
    while (!atomic_load(&tender.over) && tend(tender.end, INT64_MAX))
        ;
    end_tending(tender.end);
    return unused;
}

static pthread_t start_tender(struct end *end)
{
    pthread_t thread;
    tender.end = end;
    atomic_store(&tender.over, false);
    sem_init(&tender.begun, 0, 0);
    cr_assert_eq(pthread_create(&thread, NULL, tend_for_ever, NULL), 0);
    sem_wait(&tender.begun);
    return thread;
}

static void join_tender(pthread_t thread)
{
    pthread_join(thread, NULL); /* or the watchdog ends it */
    sem_destroy(&tender.begun);
}

Test(tending, who_is_roused_looks)
{
    begin();
    struct pair pair = connect_pair(false);
    for (size_t i = 0; i < scaled(200, 5); i++) {
        pthread_t thread = start_tender(pair.asks);
        atomic_store(&tender.over, true);
        pair.asks->stream->ops->tending->rouse(pair.asks->stream);
        join_tender(thread);
    }
    conclude();
}

static void closes(struct pair *pair)
{
    pair->echoes->stream->ops->close(pair->echoes->stream, MUSTER_UNAVAILABLE, "enough");
}

static void cuts(struct pair *pair)
{
    pair->asks->stream->ops->cut(pair->asks->stream);
}

static void cuts_all(struct pair *pair)
{
    server_close(pair->server);
    fixture.transport->ops->cut_listener(pair->server->listener);
}

static void ends_wake(void (*action)(struct pair *pair))
{
    begin();
    for (size_t i = 0; i < scaled(10, 1); i++) {
        struct pair pair = connect_pair(false);
        pthread_t thread = start_tender(pair.asks);
        action(&pair);
        join_tender(thread);
        wait_closed(pair.asks);
        cr_assert(!begin_tending(pair.asks));
    }
    conclude();
}

Test(tending, an_end_by_the_peer_wakes)
{
    ends_wake(closes);
}

Test(tending, an_end_of_our_own_wakes)
{
    ends_wake(cuts);
}

Test(tending, a_broken_connection_wakes)
{
    ends_wake(cuts_all);
}

/* ---- the public interface ---- */

/* What the user's code hears, and whether on the thread that waits. */
static struct {
    pthread_t serves, takes_part;
    atomic_size_t asked, warned;
    atomic_bool misplaced;
} heard;

static void on_event(void *context, const struct participant_manager_event *event)
{
    (void)context;
    if (pthread_equal(pthread_self(), heard.serves))
        atomic_store(&heard.misplaced, true);
    if (event->kind == PARTICIPANT_MANAGER_ASKED)
        atomic_fetch_add(&heard.asked, 1);
}

static void on_warning(void *context, const char *text)
{
    (void)context;
    if (pthread_equal(pthread_self(), heard.takes_part))
        atomic_store(&heard.misplaced, true);
    if (strstr(text, "no good"))
        atomic_fetch_add(&heard.warned, 1);
}

static const struct muster_message word = {.kind = MUSTER_APPLICATION, .type = "word"};

static void *take_part(void *address)
{
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    participant_options_init(&options);
    options.asks = true;
    options.on_warning = on_warning;
    heard.takes_part = pthread_self();
    cr_assert_eq(participant_connect(address, &options, &participant, &error), MUSTER_OK, "%s", error.text);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL) == MUSTER_OK) {
        participant_ask(participant, NULL);
        participant_dispatch(participant, &word, NULL);
    }
    participant_free(participant);
    return NULL;
}

/* Each turn is asked for, and some answers are refused. */
Test(tending, user_code_never_runs_on_a_thread_that_waits)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct proxy **proxies;
    struct muster_message answer;
    struct muster_error error;
    size_t count, turns = scaled(200, 10);
    char listened[ADDRESS_SIZE], address[ADDRESS_SIZE];
    pthread_t thread;
    begin();
    network_any_address(listened);
    participant_manager_options_init(&options);
    options.listen = listened;
    options.on_event = on_event;
    options.on_warning = NULL;
    heard.serves = pthread_self();
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_OK, "%s", error.text);
    network_address(listened, participant_manager_port(manager), address);
    cr_assert_eq(pthread_create(&thread, NULL, take_part, address), 0);
    cr_assert_eq(participant_manager_get_participants(manager, 1, MUSTER_NO_LIMIT, &proxies, &count, &error),
                 MUSTER_OK, "%s", error.text);
    for (size_t i = 0; i < turns; i++) {
        cr_assert_eq(proxy_run(proxies[0], &word, MUSTER_NO_LIMIT, &answer, &error), MUSTER_OK, "%s",
                     error.text);
        muster_message_clear(&answer);
        if (i < 2)
            cr_assert_eq(proxy_refuse(proxies[0], "no good", &error), MUSTER_OK, "%s", error.text);
    }
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    pthread_join(thread, NULL);
    cr_assert(!atomic_load(&heard.misplaced));
    cr_assert_eq(atomic_load(&heard.warned), 2);
    cr_assert_gt(atomic_load(&heard.asked), 0);
    conclude();
}
