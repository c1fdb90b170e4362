/* A circle, its rounds, and reactions of its participants. */
#include <config.h>

#include <stdlib.h>

#include "server/circle.h"
#include "support/sample.h"

struct circle *circle_new(reaction *a, reaction *b, reaction *c)
{
    static const char *names[PROXIES] = {"a", "b", "c"};
    reaction *reactions[PROXIES] = {a, b, c};
    struct circle *circle = calloc(1, sizeof(*circle));
    cr_assert_not_null(circle);
    circle->fixture = fixture_new(NULL);
    circle->fixture->data = circle;
    proxy_round_options_init(&circle->options);
    circle->caller = pthread_self();
    circle->on_callers_thread = true;
    circle->answers_were_right = true;
    for (size_t i = 0; i < PROXIES; i++) {
        circle->peers[i] = peer_join(circle->fixture, names[i]);
        circle->peers[i]->react = reactions[i];
        circle->proxies[i] = fixture_proxy(circle->fixture, names[i]);
    }
    return circle;
}

void circle_free(struct circle *circle)
{
    proxy_round_result_clear(&circle->result);
    cr_assert_null(circle->result.entries);
    fixture_free(circle->fixture);
    free(circle);
}

enum muster_status circle_answered(void *context, size_t index, struct proxy *proxy,
                                   const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct circle *circle = context;
    circle->on_callers_thread =
        circle->on_callers_thread && pthread_equal(pthread_self(), circle->caller) != 0;
    circle->answers_were_right =
        circle->answers_were_right && proxy == circle->proxies[index] && is_sample(answer, MUSTER_TRAIN);
    circle->order[circle->called++] = index;
    return circle->verdicts[index];
}

enum muster_status circle_run(struct circle *circle, size_t count)
{
    if (!circle->fixture->pumping)
        fixture_pump(circle->fixture);
    proxy_round_result_clear(&circle->result);
    return proxy_run_all(circle->proxies, count, sample(MUSTER_TRAIN), &circle->options, circle_answered,
                         circle, &circle->result, NULL);
}

void circle_expect(const struct circle *circle, size_t answered, size_t late, size_t failed)
{
    cr_assert_eq(circle->result.answered, answered, "%zu", circle->result.answered);
    cr_assert_eq(circle->result.late, late, "%zu", circle->result.late);
    cr_assert_eq(circle->result.failed, failed, "%zu", circle->result.failed);
    cr_assert_eq(circle->result.count, answered + late + failed);
    cr_assert(circle->on_callers_thread);
    cr_assert(circle->answers_were_right);
}

enum muster_status circle_status(const struct circle *circle, size_t index)
{
    return circle->result.entries[index].status;
}

void is_silent(struct peer *peer, const struct received *received)
{
    (void)peer;
    (void)received;
}

void fails(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_MESSAGE)
        peer_send(peer, received->turn, sample(MUSTER_FAILURE));
}

void answers_in_turn(struct peer *peer, const struct received *received)
{
    static const size_t order[PROXIES] = {2, 0, 1};
    struct circle *circle = peer->fixture->data;
    if (peer != circle->peers[2])
        return;
    for (size_t i = 0; i < PROXIES; i++)
        peer_send(circle->peers[order[i]], received->turn, sample(MUSTER_TRAIN));
}
