/*
 * What participants may call themselves and say in their labels. Names end up in logs, on screens and in file
 * names, wherever the program puts them: so what means something else there is refused here, once.
 */
#include <config.h>

#include <string.h>

#include "proxy/internal.h"
#include "status.h"

struct range {
    uint32_t first;
    uint32_t last;
};

/* Characters that a reader does not see, or that change what is seen of others: of control, of direction,
   line separators, invisible ones, tags. The joiners U+200C and U+200D are a matter of spelling. */
static const struct range harmful[] = {
    {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},       {0x61c, 0x61c},   {0x180e, 0x180e},
    {0x200b, 0x200b}, {0x200e, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f}, {0xfeff, 0xfeff},
    {0xfff9, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe007f},
};

static const struct range blanks[] = {
    {0x20, 0x20},     {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
    {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
};

#define IS_IN(ranges, character) is_in(ranges, sizeof(ranges) / sizeof(*(ranges)), character)

static bool is_in(const struct range *ranges, size_t count, uint32_t character)
{
    for (size_t i = 0; i < count; i++) {
        if (character >= ranges[i].first && character <= ranges[i].last)
            return true;
    }
    return false;
}

/* Reads a character in its shortest form; 0 at the end and where there is none. */
static size_t read_character(const char *text, uint32_t *character)
{
    static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    size_t size = bytes[0] < 0x80    ? 1
                  : bytes[0] >= 0xf0 ? 4
                  : bytes[0] >= 0xe0 ? 3
                  : bytes[0] >= 0xc0 ? 2
                                     : 0;
    if (!size || bytes[0] >= 0xf8)
        return 0;
    *character = size == 1 ? bytes[0] : bytes[0] & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        *character = *character << 6 | (bytes[i] & 0x3fU);
    }
    bool is_surrogate = *character >= 0xd800 && *character <= 0xdfff;
    return *character < least[size] || is_surrogate || *character > 0x10ffff ? 0 : size;
}

const char *muster__text_fault(const char *text)
{
    uint32_t character;
    for (size_t size; *text; text += size) {
        size = read_character(text, &character);
        if (!size)
            return "that is not UTF-8";
        if ((character < 0x20 || character >= 0x7f) && IS_IN(harmful, character))
            return "with control characters, direction marks or invisible ones";
    }
    return NULL;
}

/* Of a text without a fault. */
static bool begins_or_ends_blank(const char *text)
{
    uint32_t character = 0;
    for (const char *at = text; *at; at += read_character(at, &character)) {
        if (at == text && read_character(at, &character) && IS_IN(blanks, character))
            return true;
    }
    return IS_IN(blanks, character);
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
