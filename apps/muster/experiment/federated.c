/* server and participants. */
#include <config.h>

#include <string.h>

#include "draft.h"

static void read_server(struct draft *draft, const struct layout *keys)
{
    const struct owned_setting owned[] = {
        {"run", NULL, "say run at the top of the file"},
        {"overwrite", NULL, "muster start has --overwrite"},
        {"monitor", NULL, "say monitor at the top of the file"},
        {"record", NULL, "say record at the top of the file"},
        {"port_file", NULL, "it is not needed here"},
        {"seed", draft->seed, "say seed at the top of the file"},
        {NULL, NULL, NULL},
    };
    const struct tree *section = tree_get(draft->root, "server"), *host = tree_get(section, "host");
    const char *within = tree_text(tree_get(draft->root, "stop_within"));
    struct texts arguments = {0};
    struct section_settings *settings = settings_section_read(draft, "server", "server", keys, owned);
    if (!settings)
        return;
    serving_begin(draft, "server", &arguments);
    settings_section_arguments(draft, settings, NULL, &arguments);
    settings_section_add(draft, &arguments, "seed", draft->seed);
    /* A round that is given up is given up before the server is killed. */
    if (within && !settings_section_value(settings, "stop_within")) {
        settings_section_add(draft, &arguments, "stop_within", within);
        json_object_del(json_object_get(draft->resolved, "server"), "stop_within");
    }
    texts_add(draft->memory, &arguments,
              memory_format(draft->memory, "--run=%s",
                            process_run(draft, host ? hosts_find(draft, host) : HERE, "server")));
    serving_add_output(draft, &arguments);
    process_add_credentials(draft, &arguments, true);
    serving_add(
        draft, section,
        (struct experiment_process){.name = "server", .role = "server", .decides = true, .shown = true},
        &arguments);
}

static void read_participants(struct draft *draft, const struct tree *section)
{
    const char *program = tree_text(tree_get(section, "program")),
               *name = tree_text(tree_get(section, "name"));
    size_t count = process_whole(section, "count", 1);
    name = name ? name : "participant";
    if (!process_name_fits(name))
        mistakes_at(&draft->mistakes, tree_get(section, "name"),
                    "name %.60s: this cannot be the name of a file", name);
    if (!program || count == 0 || count > PROCESSES_MAX)
        return; /* which was told */
    if (!process_check_rules(draft, section, count))
        return;
    for (size_t rank = 0; rank < count; rank++) {
        const struct tree *rule = process_rule(section, rank);
        const struct tree *const lists[] = {tree_get(section, "arguments"), tree_get(rule, "arguments")};
        const char *own = tree_text(tree_get(rule, "program"));
        struct texts arguments = {0};
        struct experiment_process process = {.role = "participant", .rank = rank, .count = count};
        process.name = process_name(draft, name, rank, count);
        process.host = hosts_of_rank(draft, rule, section, rank);
        texts_add(draft->memory, &arguments, own ? own : program);
        for (size_t i = 0; i < 2; i++) {
            for (const struct tree *word = lists[i] ? lists[i]->first : NULL; word; word = word->next) {
                if (word->type != TREE_TEXT)
                    continue;
                texts_add(draft->memory, &arguments, word->text);
                /* Before the others, which may say otherwise. */
                if (arguments.count == 2 && strcmp(own ? own : program, "muster") == 0 &&
                    strcmp(word->text, "demo") == 0)
                    process_add_credentials(draft, &arguments, false);
            }
        }
        process_fill(draft, &process, section, rule);
        process_add(draft, process, &arguments, section, rule);
    }
}

void federated_read(struct draft *draft)
{
    const struct layout *server = layout_find(layout_file, "server");
    const struct tree *participants = tree_get(draft->root, "participants");
    read_server(draft, server->keys);
    if (!participants)
        return; /* they come by themselves */
    if (participants->type == TREE_LIST) {
        for (const struct tree *section = participants->first; section; section = section->next)
            read_participants(draft, section);
    } else {
        read_participants(draft, participants);
    }
    json_object_set_new(draft->resolved, "participants", tree_json(participants, false));
}
