/* A look at the bytes of a message, stricter than those who only use it: protobuf's libraries pass over what they do
 * not know. And the message in words, for people. */
#ifndef LOOK_H
#define LOOK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "muster.pb-c.h"

enum look_fault {
    LOOK_GOOD,
    LOOK_MALFORMED, /* these bytes are no message */
    LOOK_UNKNOWN,   /* a field that the protocol does not have, or a second content */
    LOOK_TEXT,      /* a string that is not UTF-8, or has a NUL */
};

enum { LOOK_TEXT_SIZE = 256 };

/* The first and worst fault of a message, and a sentence about it in `text`. */
enum look_fault look_at(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size,
                        char text[LOOK_TEXT_SIZE]);

/* Prints the message in one line, in the order of its bytes, as far as it can be read. */
void look_print(FILE *file, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size);

#endif
