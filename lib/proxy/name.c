/*
 * What participants may call themselves and say in their labels. Names end up in logs, on screens and in file
 * names, wherever the program puts them: so what means something else there is refused here, once.
 */
#include <config.h>

#include <string.h>

#include "proxy/name.h"
#include "status.h"
#include "text.h"

static const struct text_range blanks[] = {
    {0x20, 0x20},     {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
    {0x202f, 0x202f}, {0x205f, 0x205f}, {0x2800, 0x2800}, {0x3000, 0x3000},
};

static bool is_blank(uint32_t character)
{
    return muster__text_is_in(blanks, sizeof(blanks) / sizeof(*blanks), character);
}

const char *muster__text_fault(const char *text)
{
    uint32_t character;
    size_t left = strlen(text);
    for (size_t size; left; left -= size, text += size) {
        size = muster__text_read(text, left, &character);
        if (!size)
            return "that is not UTF-8";
        if (muster__text_is_harmful(character))
            return "with control characters, direction marks or invisible ones";
    }
    return NULL;
}

/* Of a text without a fault. */
static bool begins_or_ends_blank(const char *text)
{
    uint32_t first = 0, last = 0;
    size_t left = strlen(text);
    if (!left)
        return false;
    muster__text_read(text, left, &first);
    for (size_t size; left; left -= size, text += size)
        size = muster__text_read(text, left, &last);
    return is_blank(first) || is_blank(last);
}

const char *muster__name_fault(const char *name)
{
    const char *fault = muster__text_fault(name);
    if (fault)
        return fault;
    if (strpbrk(name, "/\\"))
        return "with a slash or a backslash";
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return "that stands for a folder";
    return begins_or_ends_blank(name) ? "that begins or ends with a blank" : NULL;
}
