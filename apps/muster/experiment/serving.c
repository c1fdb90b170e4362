/* The process that serves, in each kind of experiment. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "common/port.h"
#include "draft.h"
#include "settings/setting.h"

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

/* HOST:PORT or [V6]:PORT, which others can connect to. */
static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    return digits > 0 && digits <= 5 && colon[1 + digits] == '\0' && strtol(colon + 1, NULL, 10) <= 65535 &&
           colon > text && (*text == '[' ? colon[-1] == ']' : strchr(text, ':') == colon);
}

void serving_check_output(struct draft *draft)
{
    static const char *const sinks[] = {"tensorboard:", "mlflow:", "csv:", "jsonl:"};
    const struct tree *monitor = tree_get(draft->root, "monitor"), *record = tree_get(draft->root, "record");
    if (tree_text(monitor) && strcmp(monitor->text, "off") != 0) {
        const char *fault = setting_monitor_fault(monitor->text);
        if (fault)
            mistakes_at(&draft->mistakes, monitor, "monitor %.60s: %s", monitor->text, fault);
        else if (!is_address(monitor->text))
            mistakes_at(&draft->mistakes, monitor, "monitor %.60s: expected HOST:PORT, or off",
                        monitor->text);
    }
    for (const struct tree *sink = record ? record->first : NULL; sink; sink = sink->next) {
        bool known = !tree_text(sink); /* which was told */
        for (size_t i = 0; !known && i < sizeof(sinks) / sizeof(*sinks); i++)
            known =
                strncmp(sink->text, sinks[i], strlen(sinks[i])) == 0 && sink->text[strlen(sinks[i])] != '\0';
        if (!known)
            mistakes_at(&draft->mistakes, sink,
                        "record %.60s: expected tensorboard:DIR, mlflow:URL, csv:FILE or jsonl:FILE",
                        sink->text);
#ifndef HAVE_RECORD
        else
            mistakes_at(&draft->mistakes, sink,
                        "record: this build has no records: configure it --with-record");
#endif
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
    if (!is_address(port_host(process.listen)))
        mistakes_at(&draft->mistakes, tree_get(section, "listen"), "%s.listen %.60s: expected HOST:PORT",
                    section->name, process.listen);
}
