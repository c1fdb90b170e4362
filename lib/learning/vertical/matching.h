/*
 * The matching of records: which ids do all have? Row i of the joint set is the i-th joint id, ascending by
 * bytes, at everyone.
 *
 * Its instructions have the kind MUSTER_TRAIN, the integer "vertical" (MUSTER__VERTICAL_VERSION) and the text
 * "task" "match"; all else in them is its own business.
 */
#ifndef MUSTER_VERTICAL_MATCHING_H
#define MUSTER_VERTICAL_MATCHING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/proxy.h>
#include <muster/vertical.h>

/* The row of a table for a joint record that the table lacks, as happens to one that joins left. */
#define MUSTER__VERTICAL_NO_ROW SIZE_MAX

/* ---- at the master ---- */

/*
 * Matches once with all proxies; each round ends within `timeout_ms`. `order` are the rows of `table`
 * ascending by ids, as muster__vertical_table_order() made them. Of `options` they use match_limit and
 * on_warning. On MUSTER_OK the caller frees *rows, which says for each of the *joint records (at least one)
 * which row of `table` it is. Otherwise *error says why and names the member, and the matching may begin
 * again, with other proxies perhaps.
 */
enum muster_status muster__vertical_match_plain(struct proxy *const *proxies, size_t count,
                                                const struct muster_vertical_table *table,
                                                const size_t *order,
                                                const struct muster_vertical_options *options,
                                                int64_t timeout_ms, size_t **rows, size_t *joint,
                                                struct muster_error *error);
enum muster_status muster__vertical_match_private(struct proxy *const *proxies, size_t count,
                                                  const struct muster_vertical_table *table,
                                                  const size_t *order,
                                                  const struct muster_vertical_options *options,
                                                  int64_t timeout_ms, size_t **rows, size_t *joint,
                                                  struct muster_error *error);

/* ---- at a member ---- */

struct muster__vertical_matcher;

/* `table`, `order` and `options` must stay. NULL if out of memory. */
struct muster__vertical_matcher *muster__vertical_matcher_new(
    const struct muster_vertical_table *table, const size_t *order,
    const struct muster_vertical_member_options *options);
void muster__vertical_matcher_free(struct muster__vertical_matcher *matcher);

/*
 * Makes the answer to an instruction whose task is "match": *answer points into memory of the matcher and of
 * the instruction, and is valid until the next call. A first instruction begins anew, whatever was before.
 * The progress of long work is reported with `participant`; NULL: not at all. Otherwise *error says why; the
 * caller answers with MUSTER_FAILURE and that text, unless it is CANCELLED: the master has given up.
 */
enum muster_status muster__vertical_matcher_answer(struct muster__vertical_matcher *matcher,
                                                   struct participant *participant,
                                                   const struct muster_message *instruction,
                                                   struct muster_message *answer, struct muster_error *error);

/* After the last answer of a matching: for each of the *count joint records, its row in the table, or
 * MUSTER__VERTICAL_NO_ROW. The caller frees it. NULL: no matching has ended since the last call. */
size_t *muster__vertical_matcher_take(struct muster__vertical_matcher *matcher, size_t *count);

#endif
