/* Text that comes from elsewhere: whether it is UTF-8, and what of it can be shown. */
#include <config.h>

#include <stdint.h>
#include <string.h>

#include <muster/status.h>

#include "text.h"

/* The bytes of the character at `text`, of which `size` are there, from 1 to 4; 0 when it is none. */
static size_t read_character(const unsigned char *text, size_t size, uint32_t *character)
{
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
    const unsigned char *bytes = (const unsigned char *)text;
    uint32_t character;
    for (size_t at = 0, length; at < size; at += length) {
        length = read_character(bytes + at, size - at, &character);
        if (length == 0 || character == 0)
            return false;
    }
    return true;
}

/* Whether a character moves the cursor, ends a line, commands a terminal or turns the direction of writing.
 */
static bool is_harmful(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character <= 0x9f) || character == 0x61c ||
           character == 0x200e || character == 0x200f || (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

const char *muster_text_harmless(const char *text, char *out, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)(text ? text : "");
    size_t left = strlen((const char *)bytes);
    size_t used = 0;
    uint32_t character;
    if (size == 0)
        return "";
    while (left) {
        size_t length = read_character(bytes, left, &character);
        bool shown = length && !is_harmful(character);
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
