/* One pass from the left, so that no value is taken for a placeholder. */
#include <config.h>

#include "placeholders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The one that the text begins with; `count`: none. */
static size_t find(const char *text, const struct placeholder *list, size_t count)
{
    size_t i = 0;
    while (i < count && strncmp(text, list[i].name, strlen(list[i].name)) != 0)
        i++;
    return i;
}

char *placeholders_replace(const char *text, const struct placeholder *list, size_t count)
{
    char *replaced = NULL;
    size_t size;
    FILE *stream = open_memstream(&replaced, &size);
    if (!stream)
        return NULL;
    while (*text != '\0') {
        size_t i = *text == '{' ? find(text, list, count) : count;
        if (i < count)
            fputs(list[i].value, stream);
        else
            fputc(*text, stream);
        text += i < count ? strlen(list[i].name) : 1;
    }
    if (fclose(stream) == 0)
        return replaced;
    free(replaced);
    return NULL;
}
