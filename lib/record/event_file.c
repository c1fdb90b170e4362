/* TFRecord: little-endian sizes, and checksums that are masked, because a checksum over bytes that hold
   their own is bad. */
#include <config.h>

#include "record/event_file.h"

uint32_t muster__crc32c(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

static void put(uint8_t *out, uint64_t number, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        out[i] = (uint8_t)(number >> (8 * i));
}

static void put_checksum(uint8_t *out, const void *bytes, size_t size)
{
    uint32_t crc = muster__crc32c(bytes, size);
    put(out, (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8), 4);
}

void muster__frame(uint8_t *frame, size_t size)
{
    put(frame, size, 8);
    put_checksum(frame + 8, frame, 8);
    put_checksum(frame + FRAME_BEFORE + size, frame + FRAME_BEFORE, size);
}
