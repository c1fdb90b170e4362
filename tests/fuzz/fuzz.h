/* What the fuzz targets share. Each is one file with LLVMFuzzerTestOneInput(), which libFuzzer calls, or else
   replay.c for each file it is given: AFL++, and the tests with the corpus. */
#ifndef MUSTER_TESTS_FUZZ_H
#define MUSTER_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* One input. A finding aborts. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What always holds, whatever the input. */
#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

/* What is left of an input. */
struct input {
    const uint8_t *at;
    size_t left;
};

/* The next byte; 0 at the end. */
static inline uint8_t take_byte(struct input *input)
{
    if (!input->left)
        return 0;
    input->left--;
    return *input->at++;
}

/* The next two bytes, the lower one first. */
static inline size_t take_size(struct input *input)
{
    size_t low = take_byte(input);
    return low | (size_t)take_byte(input) << 8;
}

/* The next `size` bytes, or as many as there are. */
static inline struct input take_bytes(struct input *input, size_t size)
{
    struct input taken = {input->at, size < input->left ? size : input->left};
    input->at += taken.left;
    input->left -= taken.left;
    return taken;
}

#endif
