/* Goes through the words as argp does: what follows an option that takes a value is no option. */
#include <config.h>

#include "written_out.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"

static bool is_the_end(const struct argp_option *option)
{
    return !option->name && !option->key && !option->doc && !option->group;
}

/* The option of that name; NULL. Looks at all for the nearest. */
static const struct argp_option *find(const struct argp *parser, const char *name, struct nearest *nearest)
{
    const struct argp_option *found = NULL;
    for (const struct argp_option *option = parser->options; option && !is_the_end(option); option++) {
        if (!option->name)
            continue;
        nearest_look(nearest, option->name);
        found = strcmp(option->name, name) == 0 ? option : found;
    }
    for (const struct argp_child *child = parser->children; child && child->argp && !found; child++)
        found = find(child->argp, name, nearest);
    return found;
}

void written_out_check(const struct argp *parser, int count, char **arguments)
{
    static const struct argp_option own[] = {{.name = "help"}, {.name = "usage"}, {.name = "version"}, {0}};
    const struct argp_child children[] = {{.argp = parser}, {0}};
    const struct argp all = {.options = own, .children = children};
    for (int i = 1; i < count && strcmp(arguments[i], "--") != 0; i++) {
        char name[80];
        struct nearest nearest;
        if (strncmp(arguments[i], "--", 2) != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(arguments[i] + 2, "="), arguments[i] + 2);
        nearest_begin(&nearest, name);
        const struct argp_option *option = find(&all, name, &nearest);
        if (!option) {
            fprintf(stderr, "%s: there is no option --%s%s%s; --help lists them\n", arguments[0], name,
                    nearest.name ? "; did you mean --" : "", nearest.name ? nearest.name : "");
            exit(2);
        }
        if (option->arg && !strchr(arguments[i], '='))
            i++;
    }
}
