/* The process that serves, in each kind of experiment. */
#include <config.h>

#include <string.h>

#include "draft.h"

/* The program, and options that a process of muster has wherever it runs. */
void serving_begin(struct draft *draft, const char *command, struct texts *arguments)
{
    texts_add(draft->memory, arguments, "muster");
    for (const char *word = command; *word != '\0';) {
        size_t length = 0;
        while (word[length] != '\0' && word[length] != ' ')
            length++;
        texts_add(draft->memory, arguments, memory_text(draft->memory, word, length));
        word += length + (word[length] == ' ');
    }
}

void serving_add_output(struct draft *draft, struct texts *arguments)
{
    const struct tree *record = tree_get(draft->root, "record");
    const char *monitor = tree_text(tree_get(draft->root, "monitor"));
#ifdef HAVE_MONITOR
    monitor = monitor ? monitor : "127.0.0.1:0";
#endif
    if (monitor && strcmp(monitor, "off") != 0)
        texts_add(draft->memory, arguments, memory_format(draft->memory, "--monitor=%s", monitor));
    for (const struct tree *sink = record ? record->first : NULL; sink; sink = sink->next) {
        if (sink->type == TREE_TEXT)
            texts_add(draft->memory, arguments, memory_format(draft->memory, "--record=%s", sink->text));
    }
}

void serving_add(struct draft *draft, const struct tree *section, struct experiment_process process,
                 const struct texts *arguments)
{
    const char *listen = tree_text(tree_get(section, "listen"));
    const struct tree *host = tree_get(section, "host");
    process.listen = listen ? listen : "127.0.0.1:0";
    process.address = tree_text(tree_get(section, "address"));
    process.count = 1;
    process.host = host ? hosts_find(draft, host) : HERE;
    process_fill(draft, &process, section, NULL);
    process_add(draft, process, arguments, section, NULL);
    if (!strchr(process.listen, ':'))
        mistakes_at(&draft->mistakes, tree_get(section, "listen"), "listen %.60s: expected HOST:PORT",
                    process.listen);
}
