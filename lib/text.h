/* Text: laid down in a row; and that comes from elsewhere: what a string of the wire may be. How it is shown:
   muster_text_harmless(). */
#ifndef MUSTER_TEXT_H
#define MUSTER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies a text to *next, which is behind it then. */
char *muster__put_text(char **next, const char *text);

/* Whether the bytes are UTF-8 (no overlong form, no surrogate, nothing beyond U+10FFFF) without a NUL. */
bool muster__text_is_good(const char *text, size_t size);

/* The bytes of the character that `text` begins with, of which `size` are there, from 1 to 4; 0 when it is
 * none. */
size_t muster__text_read(const char *text, size_t size, uint32_t *character);

/* Whether a reader does not see the character, or it changes what is seen of others. */
bool muster__text_is_harmful(uint32_t character);

/* Whether it is in one of `count` ranges. */
struct text_range {
    uint32_t first;
    uint32_t last;
};
bool muster__text_is_in(const struct text_range *ranges, size_t count, uint32_t character);

#endif
