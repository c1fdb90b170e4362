/* The end of a server's --help. */
#include <config.h>

#include "server_help.h"

#include <stdio.h>
#include <stdlib.h>

#include <muster/muster.h>

#include "server_table.h"

static void print_strategy(FILE *text, const struct muster_strategy_kind *kind)
{
    fprintf(text, "  %-13s %s\n", kind->name, kind->summary);
    for (size_t i = 0; i < kind->parameter_count; i++) {
        const struct muster_strategy_parameter *parameter = &kind->parameters[i];
        fprintf(text, "    strategy.%s (%g to %g, default %g): %s\n", parameter->name, parameter->lowest,
                parameter->highest, parameter->initial, parameter->help);
    }
}

static void print_keys(FILE *text)
{
    fprintf(text, "\nKeys of --set:\n");
    for (size_t i = 0; server_table_row(i); i++) {
        const struct setting *setting = server_table_row(i);
        fprintf(text, "  %s%s%s\n", setting->key, setting->option ? ": --" : "",
                setting->option ? setting->option : "");
    }
    fprintf(text, "  strategy.NAME, train.NAME, train.for: see above\n");
}

char *server_help_strategies(void)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return NULL;
    fprintf(stream, "Strategies, and what --set sets of each:\n");
    for (size_t i = 0; muster_strategy_kind_at(i); i++)
        print_strategy(stream, muster_strategy_kind_at(i));
    print_keys(stream);
    if (fclose(stream) == 0)
        return text;
    free(text);
    return NULL;
}
