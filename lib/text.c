/* Text: laid down in a row, and that comes from elsewhere: whether it is UTF-8, and what of it can be shown. */
#include <config.h>

#include <string.h>

#include <muster/status.h>

#include "text.h"

char *muster__put_text(char **next, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*next, text, size);
    *next += size;
    return copy;
}

size_t muster__text_read(const char *bytes, size_t size, uint32_t *character)
{
    const unsigned char *text = (const unsigned char *)bytes;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* a smaller one has a shorter form */
    size_t length = text[0] < 0x80             ? 1
                    : (text[0] & 0xe0) == 0xc0 ? 2
                    : (text[0] & 0xf0) == 0xe0 ? 3
                    : (text[0] & 0xf8) == 0xf0 ? 4
                                               : 0;
    if (length == 0 || length > size)
        return 0;
    uint32_t value = length == 1 ? text[0] : text[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (text[i] & 0x3fU);
    }
    if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *character = value;
    return length;
}

bool muster__text_is_good(const char *text, size_t size)
{
    uint32_t character;
    for (size_t at = 0, length; at < size; at += length) {
        length = muster__text_read(text + at, size - at, &character);
        if (length == 0 || character == 0)
            return false;
    }
    return true;
}

bool muster__text_is_in(const struct text_range *ranges, size_t count, uint32_t character)
{
    for (size_t i = 0; i < count; i++) {
        if (character >= ranges[i].first && character <= ranges[i].last)
            return true;
    }
    return false;
}

bool muster__text_is_harmful(uint32_t character)
{
    if (character >= 0x20 && character < 0x7f)
        return false; /* most are */
    /* Control, direction, line separators, invisible ones, fillers, tags and what is set aside for more of
       them. The joiners U+200C and U+200D and the variants U+FE00 to U+FE0F are a matter of spelling. */
    static const struct text_range harmful[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},       {0x34f, 0x34f},     {0x61c, 0x61c},
        {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f},   {0x200b, 0x200b},   {0x200e, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
        {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
    };
    return muster__text_is_in(harmful, sizeof(harmful) / sizeof(*harmful), character);
}

const char *muster_text_harmless(const char *text, char *out, size_t size)
{
    const char *bytes = text ? text : "";
    size_t left = strlen(bytes);
    size_t used = 0;
    uint32_t character;
    if (size == 0)
        return "";
    while (left) {
        size_t length = muster__text_read(bytes, left, &character);
        bool shown = length && !muster__text_is_harmful(character);
        size_t written = shown ? length : 1;
        if (written >= size - used)
            break;
        if (shown)
            memmove(out + used, bytes, length);
        else
            out[used] = '?';
        used += written;
        length = length ? length : 1;
        bytes += length;
        left -= length;
    }
    out[used] = '\0';
    return out;
}
