/* What all processes of an experiment have in common, whatever they run. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/placeholders.h"
#include "draft.h"

/* A rule's ranks are looked through for each process. */
enum { NAME_MAX_SIZE = 64, RESTARTS_DEFAULT = 5, RANKS_MAX = 1000 };

/* Bytes of arguments and environment, of all processes. */
#define BYTES_MAX ((size_t)64 << 20)

bool process_name_fits(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_MAX_SIZE || *name == '.' || *name == '-')
        return false;
    for (; *name != '\0'; name++) {
        if (*name == '/' || (unsigned char)*name < ' ' || *name == 127)
            return false;
    }
    return true;
}

const char *process_name(struct draft *draft, const char *name, size_t rank, size_t count)
{
    int width = snprintf(NULL, 0, "%zu", count - 1);
    return memory_format(draft->memory, "%s-%0*zu", name, width, rank);
}

size_t process_whole(const struct tree *section, const char *key, size_t otherwise)
{
    const struct tree *node = tree_get(section, key);
    return node && tree_is_number(node) && node->text[strspn(node->text, "0123456789")] == '\0'
               ? (size_t)strtoul(node->text, NULL, 10)
               : otherwise;
}

/* ---- rules ---- */

/* Whether "ranks" has this one. */
static bool has_rank(const struct tree *ranks, size_t rank)
{
    size_t first, last;
    if (ranks && ranks->type == TREE_LIST) {
        for (const struct tree *child = ranks->first; child; child = child->next) {
            if (has_rank(child, rank))
                return true;
        }
        return false;
    }
    return tree_text(ranks) && layout_read_ranks(ranks->text, &first, &last) && first <= rank && rank <= last;
}

const struct tree *process_rule(const struct tree *section, size_t rank)
{
    const struct tree *rules = tree_get(section, "for");
    for (const struct tree *rule = rules ? rules->first : NULL; rule; rule = rule->next) {
        if (has_rank(tree_get(rule, "ranks"), rank))
            return rule;
    }
    return NULL;
}

static size_t last_rank(const struct tree *ranks)
{
    size_t first, last = 0, most = 0;
    if (ranks->type != TREE_LIST)
        return tree_text(ranks) && layout_read_ranks(ranks->text, &first, &last) ? last : 0;
    for (const struct tree *child = ranks->first; child; child = child->next) {
        last = last_rank(child);
        most = last > most ? last : most;
    }
    return most;
}

/* Marks ranks as taken, and tells of one that is already. */
static void take_ranks(struct draft *draft, const struct tree *item, bool *taken)
{
    size_t first = 1, last = 0;
    if (!tree_text(item) || !layout_read_ranks(item->text, &first, &last))
        return; /* which was told */
    for (size_t rank = first; rank <= last; rank++) {
        if (taken[rank]) {
            mistakes_at(&draft->mistakes, item, "ranks: rank %zu is there twice; say all of it in one entry",
                        rank);
            return;
        }
        taken[rank] = true;
    }
}

bool process_check_rules(struct draft *draft, const struct tree *section, size_t count)
{
    const struct tree *rules = tree_get(section, "for");
    bool *taken = memory_take(draft->memory, count, sizeof(*taken));
    size_t items = 0;
    for (const struct tree *rule = rules ? rules->first : NULL; rule; rule = rule->next) {
        const struct tree *ranks = tree_get(rule, "ranks");
        if (!ranks)
            continue;
        if (last_rank(ranks) >= count) {
            mistakes_at(&draft->mistakes, ranks, "ranks: there are %zu of them, from 0 to %zu", count,
                        count - 1);
            continue;
        }
        items += ranks->type == TREE_LIST ? ranks->count : 1;
        if (items > RANKS_MAX) {
            mistakes_at(&draft->mistakes, ranks, "ranks: there is room for %d of them in a section",
                        RANKS_MAX);
            return false;
        }
        const struct tree *first = ranks->type == TREE_LIST ? ranks->first : ranks;
        for (const struct tree *item = first; item; item = ranks->type == TREE_LIST ? item->next : NULL)
            take_ranks(draft, item, taken);
    }
    return true;
}

/* ---- a process ---- */

static enum restart restart_of(const struct tree *section)
{
    const char *text = tree_text(tree_get(section, "restart"));
    if (text && strcmp(text, "never") == 0)
        return RESTART_NEVER;
    return text && strcmp(text, "always") == 0 ? RESTART_ALWAYS : RESTART_ON_FAILURE;
}

void process_fill(struct draft *draft, struct experiment_process *process, const struct tree *section,
                  const struct tree *rule)
{
    const struct tree *directory = tree_get(rule, "directory"), *show = tree_get(section, "show");
    (void)draft;
    directory = directory ? directory : tree_get(section, "directory");
    process->restart = restart_of(section);
    process->restarts = process_whole(section, "restarts", RESTARTS_DEFAULT);
    process->directory = tree_text(directory);
    if (show && tree_is_flag(show))
        process->shown = *show->text == 't';
}

/* A text in which the placeholders are replaced, all but {server}. */
static const char *replace(struct draft *draft, const struct experiment_process *process, const char *text)
{
    char rank[24], count[24];
    snprintf(rank, sizeof(rank), "%zu", process->rank);
    snprintf(count, sizeof(count), "%zu", process->count);
    const struct placeholder list[] = {{"{rank}", rank},
                                       {"{count}", count},
                                       {"{name}", process->name},
                                       {"{host}", draft->hosts[process->host].name},
                                       {"{run}", draft->experiment->name},
                                       {"{seed}", draft->seed}};
    if (!strchr(text, '{'))
        return text;
    char *replaced = placeholders_replace(text, list, sizeof(list) / sizeof(*list));
    if (!replaced)
        mistakes_add(&draft->mistakes, (struct place){0}, "out of memory");
    const char *kept = memory_copy(draft->memory, replaced ? replaced : "");
    free(replaced);
    return kept;
}

/* Adds NAME=VALUE, in place of one of the same name. */
static void put_variable(struct draft *draft, struct texts *environment, const char *name, const char *value)
{
    const char *variable = memory_format(draft->memory, "%s=%s", name, value);
    size_t length = strlen(name) + 1;
    for (size_t i = 0; i < environment->count; i++) {
        if (strncmp(environment->list[i], variable, length) == 0) {
            environment->list[i] = variable;
            return;
        }
    }
    texts_add(draft->memory, environment, variable);
}

void process_add(struct draft *draft, struct experiment_process process, const struct texts *arguments,
                 const struct tree *section, const struct tree *rule)
{
    struct texts replaced = {0}, environment = {0};
    const struct tree *const levels[] = {section, rule};
    struct experiment *experiment = draft->experiment;
    if (experiment->process_count == PROCESSES_MAX) {
        mistakes_at(&draft->mistakes, section, "there is room for %d processes", PROCESSES_MAX);
        return;
    }
    for (size_t i = 0; i < arguments->count && draft->bytes <= BYTES_MAX; i++) {
        texts_add(draft->memory, &replaced, replace(draft, &process, arguments->list[i]));
        draft->bytes += strlen(replaced.list[i]) + sizeof(char *);
    }
    put_variable(draft, &environment, "MUSTER_SEED", draft->seed);
    for (size_t i = 0; i < 2; i++) {
        const struct tree *own = tree_get(levels[i], "environment");
        for (const struct tree *variable = own ? own->first : NULL; variable; variable = variable->next) {
            if (variable->type != TREE_TEXT || !variable->name || draft->bytes > BYTES_MAX)
                continue;
            put_variable(draft, &environment, variable->name, replace(draft, &process, variable->text));
            draft->bytes += strlen(variable->name) + strlen(variable->text) + sizeof(char *);
        }
    }
    if (draft->bytes > BYTES_MAX)
        mistakes_at(&draft->mistakes, section,
                    "arguments and environment of all processes are more than %zu MiB", BYTES_MAX >> 20);
    process.arguments = replaced.list;
    process.environment = environment.list;
    if (experiment->process_count == draft->process_room) {
        size_t room = draft->process_room > 0 ? 2 * draft->process_room : 16;
        struct experiment_process *longer = memory_take(draft->memory, room, sizeof(*longer));
        if (draft->process_room > 0)
            memcpy(longer, draft->processes, experiment->process_count * sizeof(*longer));
        draft->processes = longer;
        draft->process_room = room;
    }
    draft->processes[experiment->process_count++] = process;
}

/* ---- muster's own programs ---- */

void process_add_credentials(struct draft *draft, struct texts *arguments, bool serves)
{
    static const struct {
        const char *key, *option;
        bool of_server_only;
    } rows[] = {{"tls_cert", "--tls-cert", true},
                {"tls_key", "--tls-key", true},
                {"tls_ca", "--tls-ca", false},
                {"token_file", "--token-file", false}};
    const struct tree *credentials = tree_get(draft->root, "credentials");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const char *text = tree_text(tree_get(credentials, rows[i].key));
        /* With its authority a server would ask participants for certificates, which the file does not have. */
        bool wanted = serves ? strcmp(rows[i].key, "tls_ca") != 0 : !rows[i].of_server_only;
        if (text && wanted)
            texts_add(draft->memory, arguments, memory_format(draft->memory, "%s=%s", rows[i].option, text));
    }
    /* Certificates without an authority of their own are the system's. */
    if (!serves && tree_get(credentials, "tls_cert") && !tree_get(credentials, "tls_ca"))
        texts_add(draft->memory, arguments, "--tls");
}

const char *process_run(struct draft *draft, size_t host, const char *part)
{
    if (draft->hosts[host].reach == REACH_HERE)
        return memory_format(draft->memory, "%s/%s", draft->run_here, part);
    return memory_format(draft->memory, "runs/%s/%s", draft->experiment->name, part);
}
