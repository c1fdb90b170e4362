/* From a file to what a launcher starts, in steps; each goes on after mistakes, so that all of them are told at once. */
#include <config.h>

#include "experiment.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/dataset.h"
#include "draft.h"

enum { STOP_WITHIN_MS = 10000 };

/* An experiment with what it is made of. */
struct whole {
    struct experiment experiment; /* the first, as it is what others have */
    struct memory *memory;
};

static enum muster_status read_text(struct memory *memory, const char *path, char **text, size_t *size,
                                    struct muster_error *error)
{
    FILE *file = fopen(path, "re");
    *text = memory_take(memory, TREE_BYTES_MAX + 2, 1);
    *size = file ? fread(*text, 1, TREE_BYTES_MAX + 1, file) : 0;
    bool failed = !file || ferror(file);
    int number = errno;
    if (file)
        fclose(file);
    if (failed)
        return explain(error, MUSTER_IO, "%s: %s", path, strerror(number));
    if (*size > TREE_BYTES_MAX)
        return explain(error, MUSTER_IO, "%s: an experiment's file has at most %d bytes", path,
                       TREE_BYTES_MAX);
    return MUSTER_OK;
}

/* The file's name without its ending. */
static const char *name_of_file(struct memory *memory, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    return memory_text(memory, name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

static void read_names(struct draft *draft, const char *path)
{
    struct experiment *experiment = draft->experiment;
    const struct tree *name = tree_get(draft->root, "name"), *seed = tree_get(draft->root, "seed");
    const struct tree *run = tree_get(draft->root, "run"), *within = tree_get(draft->root, "stop_within");
    char here[PATH_MAX];
    experiment->name = tree_text(name) ? name->text : name_of_file(draft->memory, path);
    if (!process_name_fits(experiment->name))
        mistakes_at(&draft->mistakes, name ? name : draft->root,
                    "name %.60s: expected 1 to 64 characters, no '/', and no '.' or '-' first",
                    experiment->name);
    experiment->run = tree_text(run) ? run->text : memory_format(draft->memory, "runs/%s", experiment->name);
    if (*experiment->run == '\0')
        mistakes_at(&draft->mistakes, run, "run: expected a directory");
    if (!getcwd(here, sizeof(here)))
        mistakes_add(&draft->mistakes, (struct place){0}, "the current directory: %s", strerror(errno));
    draft->run_here = *experiment->run == '/' ? experiment->run
                                              : memory_format(draft->memory, "%s/%s", here, experiment->run);
    const char *digits = tree_text(seed);
    draft->seed = digits && *digits != '\0' && digits[strspn(digits, "0123456789")] == '\0' ? digits : "0";
    experiment->stop_within_ms =
        within && tree_is_number(within) ? (int64_t)(1000 * strtod(within->text, NULL)) : STOP_WITHIN_MS;
    json_object_set_new(draft->resolved, "name", json_string(experiment->name));
    json_object_set_new(draft->resolved, "run", json_string(experiment->run));
    json_object_set_new(draft->resolved, "seed", json_integer(strtoll(draft->seed, NULL, 10)));
}

/* What is kept as it was said. */
static void keep_others(struct draft *draft)
{
    static const char *const keys[] = {"hosts", "credentials", "monitor", "record", "stop_within"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        const struct tree *node = tree_get(draft->root, keys[i]);
        if (node)
            json_object_set_new(draft->resolved, keys[i], tree_json(node, false));
    }
}

/* A kind of experiment: the section that it has, and one that goes with it alone. */
static const struct {
    const char *section, *companion;
    void (*read)(struct draft *draft);
} kinds[] = {
    {"server", "participants", federated_read},
    {"nodes", "coordinator", decentralized_read},
    {"vertical", "members", vertical_read},
};

enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

static void read_sections(struct draft *draft)
{
    size_t found = 0, kind = 0;
    for (size_t i = 0; i < KINDS; i++) {
        const struct tree *section = tree_get(draft->root, kinds[i].section);
        const struct tree *companion = tree_get(draft->root, kinds[i].companion);
        if (!section && companion)
            mistakes_at_name(&draft->mistakes, companion, "%s: this goes with %s, which is missing",
                             kinds[i].companion, kinds[i].section);
        if (!section)
            continue;
        if (found++ > 0)
            mistakes_at_name(&draft->mistakes, section,
                             "%s: there is %s already; an experiment has one of server, nodes "
                             "and vertical",
                             kinds[i].section, kinds[kind].section);
        else
            kind = i;
    }
    if (found == 0)
        mistakes_at(&draft->mistakes, draft->root,
                    "there is none of server, nodes and vertical: say what is to be trained");
    if (found != 1)
        return;
    kinds[kind].read(draft);
    if (draft->experiment->process_count > 0 && draft->mistakes.count == 0)
        hosts_check(draft, tree_get(draft->root, kind == 1 ? "coordinator" : kinds[kind].section),
                    kind == 1 ? "coordinator" : kinds[kind].section);
}

/* Two of the same name would write into one log. */
static void check_names(struct draft *draft)
{
    const struct tree *participants = tree_get(draft->root, "participants");
    for (size_t i = 0; participants && i < participants->count && participants->type == TREE_LIST; i++) {
        const char *name = tree_text(tree_get(tree_at(participants, i), "name"));
        for (size_t j = 0; j < i; j++) {
            const char *other = tree_text(tree_get(tree_at(participants, j), "name"));
            if (strcmp(name ? name : "participant", other ? other : "participant") == 0)
                mistakes_at(&draft->mistakes, tree_at(participants, i),
                            "participants: two groups are called %.60s; give each a name",
                            name ? name : "participant");
        }
    }
}

static void check_credentials(struct draft *draft)
{
    const struct tree *credentials = tree_get(draft->root, "credentials");
    const struct tree *certificate = tree_get(credentials, "tls_cert"),
                      *key = tree_get(credentials, "tls_key");
    const struct tree *said = certificate ? certificate : key;
    if (said && !(certificate && key))
        mistakes_at_name(&draft->mistakes, said, "credentials.%s: %s is missing", said->name,
                         certificate ? "tls_key" : "tls_cert");
}

static void read_root(struct draft *draft, const char *path, char *const *assignments, size_t count)
{
    if (draft->root->type != TREE_MAPPING && (draft->root->type != TREE_EMPTY || count == 0)) {
        mistakes_at(&draft->mistakes, draft->root,
                    "expected keys with values, such as `server: {rounds: 5}`");
        return;
    }
    for (size_t i = 0; i < count; i++)
        values_assign(draft->memory, (struct tree *)(uintptr_t)draft->root, assignments[i], &draft->mistakes);
    values_from_environment(draft->memory, (struct tree *)(uintptr_t)draft->root, &draft->mistakes);
    layout_check(layout_file, NULL, draft->root, "", &draft->mistakes);
    read_names(draft, path);
    hosts_read(draft);
    check_names(draft);
    check_credentials(draft);
    serving_check_output(draft);
    read_sections(draft);
    keep_others(draft);
}

enum muster_status experiment_read(const char *path, char *const *assignments, size_t assignment_count,
                                   experiment_mistake *tell, void *context, struct experiment **experiment,
                                   struct muster_error *error)
{
    struct memory *memory = memory_new();
    struct whole *whole = memory_take(memory, 1, sizeof(*whole));
    struct draft *draft = memory_take(memory, 1, sizeof(*draft));
    char *text;
    size_t size;
    *experiment = NULL;
    enum muster_status status = read_text(memory, path, &text, &size, error);
    if (status != MUSTER_OK) {
        memory_free(memory);
        return status;
    }
    whole->memory = memory;
    whole->experiment.resolved = json_object();
    whole->experiment.text = text;
    *draft = (struct draft){.memory = memory,
                            .mistakes = {.memory = memory, .file = path},
                            .experiment = &whole->experiment,
                            .resolved = whole->experiment.resolved};
    draft->root = tree_read(memory, text, size, &draft->mistakes);
    if (draft->root)
        read_root(draft, path, assignments, assignment_count);
    whole->experiment.hosts = draft->hosts;
    whole->experiment.host_count = draft->host_count;
    whole->experiment.processes = draft->processes;
    if (draft->mistakes.count == 0) {
        *experiment = &whole->experiment;
        return MUSTER_OK;
    }
    mistakes_tell(&draft->mistakes, tell, context);
    experiment_free(&whole->experiment);
    return explain(error, MUSTER_INVALID, "%s: there are mistakes in it", path);
}

void experiment_free(struct experiment *experiment)
{
    if (!experiment)
        return;
    json_decref(experiment->resolved);
    memory_free(((struct whole *)experiment)->memory);
}
