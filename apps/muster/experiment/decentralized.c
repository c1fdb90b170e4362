/* coordinator and nodes. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draft.h"
#include "settings/kind.h"

static void read_coordinator(struct draft *draft)
{
    static const struct owned_setting owned[] = {
        {"file", NULL, "it is kept in the run directory"},
        {"port_file", NULL, "it is not needed here"},
        {NULL, NULL, NULL},
    };
    const struct tree *section = tree_get(draft->root, "coordinator"), *host = tree_get(section, "host");
    const struct layout *entry = layout_find(layout_file, "coordinator");
    struct texts arguments = {0};
    struct section_settings *settings =
        settings_section_read(draft, "coordinator", "coordinator", entry->keys, owned);
    if (!settings)
        return;
    serving_begin(draft, "coordinator", &arguments);
    settings_section_arguments(draft, settings, NULL, &arguments);
    texts_add(draft->memory, &arguments,
              memory_format(draft->memory, "--file=%s",
                            process_run(draft, host ? hosts_find(draft, host) : HERE, "coordinator")));
    process_add_credentials(draft, &arguments, true);
    serving_add(draft, section, (struct experiment_process){.name = "coordinator", .role = "coordinator"},
                &arguments);
}

/* Tells of what a rule says and `muster node --settings` does not take. */
static void check_rules(struct draft *draft, const struct tree *section)
{
    const struct settings_kind *kind = kind_of_section("nodes");
    const struct layout *keys = layout_find(layout_find(layout_file, "nodes")->keys, "for")->keys;
    const struct tree *rules = tree_get(section, "for");
    for (const struct tree *rule = rules ? rules->first : NULL; rule && kind; rule = rule->next) {
        for (const struct tree *said = rule->type == TREE_MAPPING ? rule->first : NULL; said;
             said = said->next) {
            if (layout_find(keys, said->name))
                continue;
            struct muster_error error;
            void *scratch = kind_new(kind);
            json_t *by_rank = json_pack("{s:{s:o}}", "0", said->name, tree_json(said, true));
            char *text = json_dumps(by_rank, JSON_COMPACT);
            if (!kind_find(kind, said->name))
                layout_refuse(keys, "nodes", said, "nodes.for: ", said->name, &draft->mistakes);
            else if (scratch && text && kind_set(kind, scratch, "settings", text, &error) == MUSTER_OK &&
                     kind_check(kind, scratch, &error) != MUSTER_OK &&
                     strncmp(error.text, "settings", 8) == 0)
                mistakes_at(&draft->mistakes, said,
                            "nodes.for: %.40s cannot have this value, or not be another for some",
                            said->name);
            json_decref(by_rank);
            free(text);
            kind_free(kind, scratch);
        }
    }
}

/* What the rules say by rank, as `muster node --settings` takes it; NULL: nothing. */
static const char *settings_by_rank(struct draft *draft, const struct tree *section, size_t count)
{
    json_t *all = json_object();
    for (size_t rank = 0; rank < count; rank++) {
        const struct tree *rule = process_rule(section, rank);
        json_t *own = json_object();
        for (const struct tree *child = rule ? rule->first : NULL; child; child = child->next) {
            if (!layout_find(layout_find(layout_find(layout_file, "nodes")->keys, "for")->keys, child->name))
                json_object_set_new(own, child->name, tree_json(child, true));
        }
        char number[24];
        snprintf(number, sizeof(number), "%zu", rank);
        if (json_object_size(own) > 0)
            json_object_set(all, number, own);
        json_decref(own);
    }
    char *text = json_object_size(all) > 0 ? json_dumps(all, JSON_COMPACT) : NULL;
    const char *kept = text ? memory_copy(draft->memory, text) : NULL;
    free(text);
    json_decref(all);
    return kept;
}

static void add_node(struct draft *draft, const struct texts *base, size_t rank, size_t count)
{
    const struct tree *section = tree_get(draft->root, "nodes"), *rule = process_rule(section, rank);
    struct experiment_process process = {.role = "node",
                                         .rank = rank,
                                         .count = count,
                                         .decides = true,
                                         .shown = rank == 0,
                                         .monitored = rank == 0};
    struct texts arguments = {0};
    process.name = process_name(draft, "node", rank, count);
    process.host = hosts_of_rank(draft, rule, section, rank);
    for (size_t i = 0; i < base->count; i++)
        texts_add(draft->memory, &arguments, base->list[i]);
    texts_add(draft->memory, &arguments, memory_format(draft->memory, "--name=%s", process.name));
    texts_add(draft->memory, &arguments,
              memory_format(draft->memory, "--run=%s", process_run(draft, process.host, "nodes")));
    if (rank == 0)
        serving_add_output(draft, &arguments);
    process_fill(draft, &process, section, rule);
    process_add(draft, process, &arguments, section, rule);
}

static void read_nodes(struct draft *draft)
{
    const struct tree *section = tree_get(draft->root, "nodes");
    const struct layout *entry = layout_find(layout_file, "nodes");
    size_t count = process_whole(section, "count", 0);
    if (count == 0 || count > PROCESSES_MAX)
        return; /* which was told */
    size_t before = draft->mistakes.count;
    check_rules(draft, section);
    const char *by_rank = before == draft->mistakes.count ? settings_by_rank(draft, section, count) : NULL;
    const char *members = memory_format(draft->memory, "%zu", count);
    const struct owned_setting owned[] = {
        {"members", members, "say count"},
        {"seed", draft->seed, "say seed at the top of the file"},
        {"settings", by_rank, "say for"},
        {"coordinator", "127.0.0.1:1", "there is a section coordinator"},
        {"coordinate", NULL, "there is a section coordinator"},
        {"coordinator_file", NULL, "it is kept in the run directory"},
        {"threads", NULL, "each node is a process"},
        {"name", NULL, "they are called node-0 and so on"},
        {"run", NULL, "say run at the top of the file"},
        {"overwrite", NULL, "muster start has --overwrite"},
        {"monitor", NULL, "say monitor at the top of the file"},
        {"record", NULL, "say record at the top of the file"},
        {"port_file", NULL, "it is not needed here"},
        {NULL, NULL, NULL},
    };
    struct texts base = {0};
    if (!process_check_rules(draft, section, count))
        return;
    struct section_settings *settings = settings_section_read(draft, "nodes", "nodes", entry->keys, owned);
    if (!settings)
        return;
    serving_begin(draft, "node", &base);
    texts_add(draft->memory, &base, "--coordinator={server}");
    settings_section_arguments(draft, settings, NULL, &base);
    settings_section_add(draft, &base, "members", members);
    settings_section_add(draft, &base, "seed", draft->seed);
    if (by_rank)
        settings_section_add(draft, &base, "settings", by_rank);
    process_add_credentials(draft, &base, false);
    for (size_t rank = 0; rank < count; rank++)
        add_node(draft, &base, rank, count);
}

void decentralized_read(struct draft *draft)
{
    read_coordinator(draft);
    read_nodes(draft);
}
