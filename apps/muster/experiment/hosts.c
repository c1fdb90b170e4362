/* The hosts of an experiment: those of the file, or those of the job that it runs in. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/port.h"
#include "draft.h"
#include "settings/nearest.h"

enum { HOSTS_MAX = 1000, NAME_SIZE = 256 };

static size_t add(struct draft *draft, struct experiment_host host, const struct tree *place)
{
    draft->hosts[draft->host_count] = host;
    draft->host_places[draft->host_count] = place;
    return draft->host_count++;
}

/* The index of a name; host_count: there is none. */
static size_t find(const struct draft *draft, const char *name)
{
    size_t i = 0;
    while (i < draft->host_count && strcmp(draft->hosts[i].name, name) != 0)
        i++;
    return i;
}

static const char *const *texts_of(struct draft *draft, const struct tree *list)
{
    struct texts texts = {0};
    for (const struct tree *child = list ? list->first : NULL; child; child = child->next) {
        if (child->type == TREE_TEXT)
            texts_add(draft->memory, &texts, child->text);
    }
    return texts.list;
}

/* ---- of the file ---- */

static void read_host(struct draft *draft, const struct tree *node)
{
    static const struct {
        const char *key;
        enum reach reach;
    } ways[] = {{"ssh", REACH_SSH}, {"srun", REACH_SRUN}, {"mpirun", REACH_MPIRUN}};
    struct experiment_host host = {.reach = REACH_HERE};
    size_t said = 0;
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        const struct tree *target = tree_get(node, ways[i].key);
        if (!target || target->type != TREE_TEXT)
            continue;
        said++;
        host.reach = ways[i].reach;
        host.target = target->text;
        if (*target->text == '-' || *target->text == '\0')
            mistakes_at(&draft->mistakes, target, "%.60s: this is no host", target->text);
    }
    if (said != 1) {
        mistakes_at(&draft->mistakes, node,
                    "hosts: say how this host is reached: one of ssh, srun and mpirun");
        return;
    }
    const char *name = tree_text(tree_get(node, "name"));
    const char *muster = tree_text(tree_get(node, "muster"));
    host.name = name ? name : host.target;
    host.port = host.reach == REACH_SSH ? tree_text(tree_get(node, "port")) : NULL;
    host.options = texts_of(draft, tree_get(node, "options"));
    host.muster = muster ? muster : "muster";
    host.directory = tree_text(tree_get(node, "directory"));
    if (find(draft, host.name) < draft->host_count)
        mistakes_at(&draft->mistakes, node,
                    "hosts: there are two of the name %.60s; \"here\" is this machine", host.name);
    else
        add(draft, host, node);
}

/* ---- of a job ---- */

static bool is_in_job(void)
{
    const char *nodes = getenv("SLURM_JOB_NUM_NODES");
    return nodes && atoi(nodes) > 1;
}

/* What a list of nodes such as "n[1-3]" stands for: Slurm itself knows. */
static void read_job(struct draft *draft, const struct tree *place)
{
    char name[NAME_SIZE];
    FILE *names = getenv("SLURM_JOB_NODELIST")
                      ? popen("exec timeout 30 scontrol show hostnames \"$SLURM_JOB_NODELIST\"", "re")
                      : NULL;
    while (names && draft->host_count < HOSTS_MAX && fgets(name, sizeof(name), names)) {
        name[strcspn(name, "\n")] = '\0';
        if (*name == '\0' || find(draft, name) < draft->host_count)
            continue;
        char *own = memory_copy(draft->memory, name);
        add(draft,
            (struct experiment_host){.name = own, .reach = REACH_SRUN, .target = own, .muster = "muster"},
            place);
    }
    int status = names ? pclose(names) : -1;
    if (status != 0 || draft->host_count == 1)
        mistakes_at(&draft->mistakes, place,
                    "hosts: this is no Slurm job, or `scontrol show hostnames` does not tell its nodes");
    draft->given = true;
}

void hosts_read(struct draft *draft)
{
    const struct tree *hosts = tree_get(draft->root, "hosts");
    size_t room = (hosts && hosts->count > HOSTS_MAX ? hosts->count : HOSTS_MAX) + 2;
    draft->hosts = memory_take(draft->memory, room, sizeof(*draft->hosts));
    draft->host_places = memory_take(draft->memory, room, sizeof(const struct tree *));
    add(draft, (struct experiment_host){.name = "here", .reach = REACH_HERE}, NULL);
    if (hosts && hosts->type == TREE_LIST) {
        for (const struct tree *host = hosts->first; host; host = host->next) {
            if (host->type == TREE_MAPPING)
                read_host(draft, host);
        }
    } else if (hosts ? tree_text(hosts) && strcmp(hosts->text, "slurm") == 0 : is_in_job()) {
        read_job(draft, hosts ? hosts : draft->root);
    }
}

/* ---- whose they are ---- */

size_t hosts_find(struct draft *draft, const struct tree *node)
{
    const char *name = tree_text(node);
    size_t index = name ? find(draft, name) : HERE;
    if (index < draft->host_count)
        return index;
    struct nearest nearest;
    nearest_begin(&nearest, name);
    for (size_t i = 0; i < draft->host_count; i++)
        nearest_look(&nearest, draft->hosts[i].name);
    mistakes_at(&draft->mistakes, node, "%.60s: hosts does not define this host%s%.60s%s", name,
                nearest.name ? "; did you mean " : "", nearest.name ? nearest.name : "",
                nearest.name ? "?" : "");
    return HERE;
}

size_t hosts_of_rank(struct draft *draft, const struct tree *own, const struct tree *section, size_t rank)
{
    const struct tree *names = tree_get(own, "hosts");
    names = names ? names : tree_get(section, "hosts");
    if (names && names->type == TREE_LIST && names->count > 0)
        return hosts_find(draft, tree_at(names, rank % names->count));
    /* On all others, or here when there are none. */
    size_t others = draft->host_count - 1;
    return others > 0 ? 1 + rank % others : HERE;
}

static bool is_loopback(const char *listen)
{
    listen = port_host(listen);
    return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "localhost:", 10) == 0 ||
           strncmp(listen, "[::1]:", 6) == 0;
}

void hosts_check(struct draft *draft, const struct tree *serving, const char *section)
{
    bool *used = memory_take(draft->memory, draft->host_count, sizeof(*used));
    const struct experiment *experiment = draft->experiment;
    bool elsewhere = false;
    for (size_t i = 0; i < experiment->process_count; i++) {
        used[draft->processes[i].host] = true;
        elsewhere = elsewhere || draft->processes[i].host != draft->processes[0].host;
    }
    for (size_t i = 1; i < draft->host_count && !draft->given; i++) {
        if (!used[i])
            mistakes_at(&draft->mistakes, draft->host_places[i], "hosts: nothing runs on %.60s",
                        draft->hosts[i].name);
    }
    const struct tree *listen = tree_get(serving, "listen");
    if (elsewhere && tree_text(listen) && is_loopback(listen->text))
        mistakes_at(&draft->mistakes, listen,
                    "%s.listen %.60s: other hosts cannot reach this address; say 0.0.0.0:0, or leave it out",
                    section, listen->text);
    else if (elsewhere && !listen)
        draft->processes[0].listen = "0.0.0.0:0";
}
