/* An ensemble is a master and members that train together in one process. */
#include <config.h>

#include "vertical/ensemble.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vertical/over.h"

enum { LONG_MS = 60000 };

/* ---- a member's life ---- */

static void keep_weights(struct player *player, const struct muster_vertical_member *member)
{
    size_t columns, outputs;
    const double *weights = muster_vertical_member_weights(member, &columns, &outputs);
    player->weight_count = weights ? columns * outputs : 0;
    if (player->weight_count <= COLUMNS_MOST && weights)
        memcpy(player->weights, weights, player->weight_count * sizeof(*weights));
    player->finished = muster_vertical_member_finished(member);
    if (player->saves)
        (void)muster_vertical_member_save(member, player->saves, &player->error);
}

/* One process: until it dies (true), or the master needs it no more. */
static bool live(struct player *player, struct muster_vertical_member *member,
                 struct participant *participant)
{
    const struct muster_message *instruction;
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL) == MUSTER_OK) {
        if (player->answer && player->answer(player, participant, instruction))
            continue;
        bool dies = player->dies_at != 0 && muster_vertical_member_updates(member) + 1 >= player->dies_at;
        if (dies) {
            player->dies_at = 0;
            if (player->dies_answering) {
                participant_close(participant);
                (void)muster_vertical_member_answer(member, participant, instruction, NULL);
            }
            return true;
        }
        (void)muster_vertical_member_answer(member, participant, instruction, &player->error);
    }
    return false;
}

/* Processes, one after the other. One that lives on finds a master that was made anew. */
static void *play(void *context)
{
    struct player *player = context;
    struct muster_vertical_member *member = NULL;
    struct participant *participant;
    struct participant_options options;
    bool good = true;
    participant_options_init(&options);
    options.name = player->name;
    options.on_warning = NULL;
    options.reconnect_first_ms = 1;
    options.reconnect_last_ms = 50;
    while (good && !player->finished && !atomic_load(&player->ensemble->over)) {
        bool dies = false;
        if (!member)
            good = muster_vertical_member_new(&player->share.table, &player->options, &member,
                                              &player->error) == MUSTER_OK;
        if (good &&
            participant_connect(player->ensemble->address, &options, &participant, NULL) == MUSTER_OK) {
            dies = live(player, member, participant);
            participant_free(participant);
            keep_weights(player, member);
        }
        if (dies) {
            muster_vertical_member_free(member);
            member = NULL;
        }
    }
    muster_vertical_member_free(member);
    return NULL;
}

/* ---- the ensemble ---- */

void ensemble_init(struct ensemble *ensemble, const struct problem *problem, const size_t *columns,
                   size_t members)
{
    memset(ensemble, 0, sizeof(*ensemble));
    ensemble->problem = problem;
    ensemble->members = members;
    snprintf(ensemble->address, sizeof(ensemble->address), "%s", over_begin());
    /* With TZ, libzip's mktime() in threads has nothing to free: ThreadSanitizer does not see its lock. */
    setenv("TZ", "UTC", 0);
    tzset();
    muster_vertical_options_init(&ensemble->options);
    ensemble->options.member_timeout_ms = LONG_MS;
    problem_labels(problem, &ensemble->labels);
    for (size_t i = 0, first = 0; i < members; first += columns[i++]) {
        struct player *player = &ensemble->players[i];
        player->ensemble = ensemble;
        player->columns = columns[i];
        snprintf(player->name, sizeof(player->name), "member-%zu", i);
        problem_share(problem, first, columns[i], 100 * i, &player->share);
        muster_vertical_member_options_init(&player->options);
    }
}

void ensemble_keep(struct ensemble *ensemble, const char *folder)
{
    snprintf(ensemble->run, sizeof(ensemble->run), "%s/master", folder);
    ensemble->options.run = ensemble->run;
    for (size_t i = 0; i < ensemble->members; i++) {
        struct player *player = &ensemble->players[i];
        snprintf(player->run, sizeof(player->run), "%s/member-%zu", folder, i);
        player->options.run = player->run;
    }
}

static void start_master(struct ensemble *ensemble)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.listen = ensemble->address;
    options.on_warning = NULL;
    enum muster_status status = participant_manager_start(&options, &ensemble->manager, &ensemble->error);
    cr_assert_eq(status, MUSTER_OK, "%s", ensemble->error.text);
    status = muster_vertical_new(&ensemble->labels.table, &ensemble->options, &ensemble->vertical,
                                 &ensemble->error);
    cr_assert_eq(status, MUSTER_OK, "%s", ensemble->error.text);
}

void ensemble_start(struct ensemble *ensemble)
{
    start_master(ensemble);
    for (size_t i = 0; i < ensemble->members; i++)
        cr_assert_eq(pthread_create(&ensemble->players[i].thread, NULL, play, &ensemble->players[i]), 0);
}

enum muster_status ensemble_train(struct ensemble *ensemble)
{
    enum muster_status status = muster_vertical_match(ensemble->vertical, ensemble->manager,
                                                      ensemble->members, LONG_MS, &ensemble->error);
    return status == MUSTER_OK ? muster_vertical_train(ensemble->vertical, &ensemble->error) : status;
}

static void end_master(struct ensemble *ensemble)
{
    participant_manager_stop(ensemble->manager);
    muster_vertical_free(ensemble->vertical);
    participant_manager_free(ensemble->manager);
}

void ensemble_restart_master(struct ensemble *ensemble)
{
    end_master(ensemble);
    start_master(ensemble);
}

void ensemble_end(struct ensemble *ensemble)
{
    atomic_store(&ensemble->over, true);
    end_master(ensemble);
    for (size_t i = 0; i < ensemble->members; i++) {
        pthread_join(ensemble->players[i].thread, NULL);
        share_clear(&ensemble->players[i].share);
    }
    share_clear(&ensemble->labels);
    over_end();
}

void ensemble_play(struct ensemble *ensemble)
{
    ensemble_start(ensemble);
    enum muster_status status = ensemble_train(ensemble);
    cr_assert_eq(status, MUSTER_OK, "%s", ensemble->error.text);
}

size_t ensemble_weights(const struct ensemble *ensemble, double weights[COLUMNS_MOST])
{
    size_t count = 0;
    for (size_t i = 0; i < ensemble->members; i++) {
        const struct player *player = &ensemble->players[i];
        cr_assert_leq(count + player->weight_count, COLUMNS_MOST);
        memcpy(weights + count, player->weights, player->weight_count * sizeof(*weights));
        count += player->weight_count;
    }
    return count;
}

/* ---- files ---- */

void ensemble_folder(char folder[64])
{
    snprintf(folder, 64, "/tmp/muster-vertical-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *state, int type, struct FTW *where)
{
    (void)state;
    (void)type;
    (void)where;
    return remove(path);
}

void ensemble_remove(const char *folder)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
