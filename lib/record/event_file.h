/* The framing of TensorBoard's event files, which are TFRecord files. */
#ifndef MUSTER_RECORD_EVENT_FILE_H
#define MUSTER_RECORD_EVENT_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Around each event: its size and the size's checksum in front, the event's checksum behind. */
enum { FRAME_BEFORE = 12, FRAME_AFTER = 4 };

/* CRC-32C (Castagnoli). */
uint32_t muster__crc32c(const void *bytes, size_t size);

/* Fills in the frame around `size` bytes that lie at frame + FRAME_BEFORE. */
void muster__frame(uint8_t *frame, size_t size);

#endif
