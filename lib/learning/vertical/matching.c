/* The master's matching over proxies. */
#include <config.h>

#include "learning/vertical/matching.h"

#include <stdio.h>

#include "learning/vertical/exchange.h"
#include "status.h"

struct company {
    struct match_exchange exchange;
    struct proxy *const *proxies;
    int64_t timeout_ms;
    /* Of the round that runs: */
    match_take *take;
    void *taker;
};

static enum muster_status take_answer(void *context, size_t index, struct proxy *proxy,
                                      const struct muster_message *answer, struct muster_error *reason)
{
    const struct company *company = context;
    (void)proxy;
    return company->take(company->taker, index, answer, reason);
}

/* Names the first member that failed. */
static enum muster_status blame(const struct company *company, const struct proxy_round_result *result,
                                enum muster_status status, struct muster_error *error)
{
    for (size_t i = 0; i < result->count; i++) {
        const struct proxy_round_entry *entry = &result->entries[i];
        if (entry->status != MUSTER_OK)
            return muster__error(error, entry->status, "member %.60s: %s", proxy_name(company->proxies[i]),
                                 entry->text);
    }
    return status;
}

static enum muster_status run_round(void *context, const struct muster_message *const *instructions,
                                    match_take *take, void *taker, struct muster_error *error)
{
    struct company *company = context;
    struct proxy_round_options options;
    struct proxy_round_result result;
    proxy_round_options_init(&options);
    options.deadline_ms = company->timeout_ms;
    company->take = take;
    company->taker = taker;
    enum muster_status status = proxy_run_each(company->proxies, instructions, company->exchange.members,
                                               &options, take_answer, company, &result, error);
    if (status != MUSTER_OK)
        status = blame(company, &result, status, error);
    proxy_round_result_clear(&result);
    return status;
}

/* Who guesses ids is seen by the sizes of lists. */
static void tell(const struct match_master *master, const char *way)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    if (!master->options->on_warning)
        return;
    snprintf(text, sizeof(text),
             "%s matching with %zu member%s, who have from %zu to %zu ids: %zu of our %zu are joint", way,
             master->exchange->members, master->exchange->members == 1 ? "" : "s", master->shortest,
             master->longest, master->joint, master->table->rows);
    master->options->on_warning(master->options->context, text);
}

typedef enum muster_status match_way(struct match_master *master, struct muster_error *error);

static enum muster_status match(match_way *way, const char *name, struct company *company,
                                const struct match_master *what, size_t **rows, size_t *joint,
                                struct muster_error *error)
{
    struct match_master master = *what;
    company->exchange.context = company;
    company->exchange.round = run_round;
    master.exchange = &company->exchange;
    enum muster_status status = way(&master, error);
    if (status == MUSTER_OK)
        tell(&master, name);
    *rows = status == MUSTER_OK ? master.rows : NULL;
    *joint = status == MUSTER_OK ? master.joint : 0;
    return status;
}

enum muster_status muster__vertical_match_plain(struct proxy *const *proxies, size_t count,
                                                const struct muster_vertical_table *table,
                                                const size_t *order,
                                                const struct muster_vertical_options *options,
                                                int64_t timeout_ms, size_t **rows, size_t *joint,
                                                struct muster_error *error)
{
    struct company company = {.exchange.members = count, .proxies = proxies, .timeout_ms = timeout_ms};
    const struct match_master what = {.table = table, .order = order, .options = options};
    return match(muster__match_plain, "plain", &company, &what, rows, joint, error);
}

enum muster_status muster__vertical_match_private(struct proxy *const *proxies, size_t count,
                                                  const struct muster_vertical_table *table,
                                                  const size_t *order,
                                                  const struct muster_vertical_options *options,
                                                  int64_t timeout_ms, size_t **rows, size_t *joint,
                                                  struct muster_error *error)
{
    struct company company = {.exchange.members = count, .proxies = proxies, .timeout_ms = timeout_ms};
    const struct match_master what = {.table = table, .order = order, .options = options};
    return match(muster__match_private, "private", &company, &what, rows, joint, error);
}
