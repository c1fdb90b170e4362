/* They are found section by section, and so are sorted before they are told. */
#include <config.h>

#include "mistakes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1000 };

/* What a file says neither begins a line nor commands a terminal; a character that was cut off is dropped. */
static void clean(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        size_t length = byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4, there = 1;
        while (there < length && ((unsigned char)at[there] & 0xc0) == 0x80)
            there++;
        if (byte < ' ' || byte == 127 || (byte & 0xc0) == 0x80 || there < length)
            *at = ' ';
        else
            at += length - 1;
    }
}

static bool is_there(const struct mistakes *mistakes, struct place place, const char *text)
{
    for (size_t i = 0; i < mistakes->count && i < MISTAKES_MAX; i++) {
        const struct mistake *other = &mistakes->list[i];
        if (other->place.line == place.line && other->place.column == place.column &&
            strcmp(other->text, text) == 0)
            return true;
    }
    return false;
}

void mistakes_add(struct mistakes *mistakes, struct place place, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    clean(text);
    /* Each of a hundred processes may come upon the same one. */
    if (is_there(mistakes, place, text))
        return;
    if (mistakes->count++ < MISTAKES_MAX)
        mistakes->list[mistakes->count - 1] = (struct mistake){place, memory_copy(mistakes->memory, text)};
}

/* Those of the command line come first. */
static int compare(const void *a, const void *b)
{
    const struct place *one = &((const struct mistake *)a)->place,
                       *other = &((const struct mistake *)b)->place;
    size_t line = one->assignment ? 0 : one->line, other_line = other->assignment ? 0 : other->line;
    if (line != other_line)
        return line < other_line ? -1 : 1;
    return one->column < other->column ? -1 : one->column > other->column;
}

static const char *place_text(const struct mistakes *mistakes, struct place place)
{
    if (place.assignment)
        return memory_format(mistakes->memory, "--set %.100s", place.assignment);
    if (place.line == 0)
        return mistakes->file;
    return memory_format(mistakes->memory, "%s:%zu:%zu", mistakes->file, place.line, place.column);
}

void mistakes_tell(struct mistakes *mistakes, experiment_mistake *tell, void *context)
{
    size_t told = mistakes->count < MISTAKES_MAX ? mistakes->count : MISTAKES_MAX;
    qsort(mistakes->list, told, sizeof(*mistakes->list), compare);
    for (size_t i = 0; i < told; i++) {
        const struct mistake *mistake = &mistakes->list[i];
        char *line =
            memory_format(mistakes->memory, "%s: %s", place_text(mistakes, mistake->place), mistake->text);
        clean(line);
        tell(context, line);
    }
    if (told < mistakes->count)
        tell(context, memory_format(mistakes->memory, "%s: %zu more mistakes are not shown", mistakes->file,
                                    mistakes->count - told));
}
