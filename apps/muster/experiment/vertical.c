/* vertical: the master, and members. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "draft.h"
#include "settings/kind.h"

enum { MEMBERS_DEFAULT = 3 };

static struct section_settings *read_master(struct draft *draft)
{
    const struct owned_setting owned[] = {
        {"seed", draft->seed, "say seed at the top of the file"},
        {"run", NULL, "say run at the top of the file"},
        {"monitor", NULL, "say monitor at the top of the file"},
        {"record", NULL, "say record at the top of the file"},
        {"port_file", NULL, "it is not needed here"},
        {NULL, NULL, NULL},
    };
    const struct tree *section = tree_get(draft->root, "vertical"), *host = tree_get(section, "host");
    const struct layout *entry = layout_find(layout_file, "vertical");
    struct texts arguments = {0};
    struct section_settings *settings =
        settings_section_read(draft, "vertical", "vertical", entry->keys, owned);
    if (!settings)
        return NULL;
    serving_begin(draft, "vertical master", &arguments);
    settings_section_arguments(draft, settings, NULL, &arguments);
    settings_section_add(draft, &arguments, "seed", draft->seed);
    texts_add(draft->memory, &arguments,
              memory_format(draft->memory, "--run=%s",
                            process_run(draft, host ? hosts_find(draft, host) : HERE, "vertical")));
    serving_add_output(draft, &arguments);
    process_add_credentials(draft, &arguments, true);
    serving_add(
        draft, section,
        (struct experiment_process){.name = "master", .role = "master", .decides = true, .shown = true},
        &arguments);
    return settings;
}

/* Whether a member's records are its own, and not a share of the columns that all see. */
static bool has_own_records(const struct section_settings *members, const struct tree *rule)
{
    const char *data = settings_section_value(members, "data");
    return tree_get(rule, "data") ||
           (data && (strstr(data, "{rank}") || strstr(data, "{name}") || strstr(data, "{host}")));
}

static void add_member(struct draft *draft, const struct section_settings *members, const struct texts *base,
                       size_t rank, size_t count)
{
    const struct tree *section = tree_get(draft->root, "members"), *rule = process_rule(section, rank);
    struct experiment_process process = {.role = "member", .rank = rank, .count = count};
    struct texts arguments = {0};
    process.name = process_name(draft, "member", rank, count);
    process.host = hosts_of_rank(draft, rule, section, rank);
    for (size_t i = 0; i < base->count; i++)
        texts_add(draft->memory, &arguments, base->list[i]);
    settings_section_arguments(draft, members, rule, &arguments);
    texts_add(draft->memory, &arguments, memory_format(draft->memory, "--name=%s", process.name));
    if (!has_own_records(members, rule))
        texts_add(draft->memory, &arguments, memory_format(draft->memory, "--rank=%zu", rank));
    texts_add(draft->memory, &arguments,
              memory_format(draft->memory, "--run=%s", process_run(draft, process.host, "vertical")));
    process_fill(draft, &process, section, rule);
    process_add(draft, process, &arguments, section, rule);
}

/* What the master has in common with members is theirs, too. */
static void add_shared(struct draft *draft, const struct section_settings *master,
                       const struct section_settings *members, struct texts *base)
{
    const struct settings_kind *kind = kind_of_section("members");
    static const char *const apart[] = {"run", "seed", "members"};
    for (size_t i = 0; kind->row(i); i++) {
        const char *key = kind->row(i)->key, *value = settings_section_value(master, key);
        bool set = settings_section_value(members, key);
        for (size_t j = 0; j < sizeof(apart) / sizeof(*apart); j++)
            set = set || strcmp(key, apart[j]) == 0;
        if (value && !set)
            settings_section_add(draft, base, key, value);
    }
}

void vertical_read(struct draft *draft)
{
    const struct layout *entry = layout_find(layout_file, "members");
    const struct tree *section = tree_get(draft->root, "members");
    struct section_settings *master = read_master(draft);
    if (!master)
        return;
    const char *said = settings_section_value(master, "members");
    size_t count = said ? strtoul(said, NULL, 10) : MEMBERS_DEFAULT;
    const char *number = memory_format(draft->memory, "%zu", count);
    const struct owned_setting owned[] = {
        {"members", number, "say it in vertical"},
        {"seed", draft->seed, "say seed at the top of the file"},
        {"connect", NULL, "they connect to the master"},
        {"rank", NULL, "each has its own"},
        {"name", NULL, "they are called member-0 and so on"},
        {"run", NULL, "say run at the top of the file"},
        {NULL, NULL, NULL},
    };
    struct section_settings *members = settings_section_read(draft, "members", "members", entry->keys, owned);
    if (!members || count > PROCESSES_MAX)
        return;
    struct texts base = {0};
    if (!process_check_rules(draft, section, count))
        return;
    settings_section_check_rules(draft, members, layout_find(entry->keys, "for")->keys);
    serving_begin(draft, "vertical member", &base);
    texts_add(draft->memory, &base, "--connect={server}");
    add_shared(draft, master, members, &base);
    settings_section_add(draft, &base, "members", number);
    settings_section_add(draft, &base, "seed", draft->seed);
    process_add_credentials(draft, &base, false);
    for (size_t rank = 0; rank < count; rank++)
        add_member(draft, members, &base, rank, count);
}
