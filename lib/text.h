/* Text that comes from elsewhere: what a string of the wire may be. How it is shown: muster_text_harmless().
 */
#ifndef MUSTER_TEXT_H
#define MUSTER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the bytes are UTF-8 (no overlong form, no surrogate, nothing beyond U+10FFFF) without a NUL. */
bool muster__text_is_good(const char *text, size_t size);

#endif
