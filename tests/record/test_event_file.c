/* The framing of event files, against published values. */
#include <config.h>

#include <string.h>

#include <criterion/criterion.h>

#include "record/event_file.h"

Test(event_file, checksums)
{
    /* RFC 3720, B.4. */
    uint8_t bytes[32] = {0};
    cr_assert_eq(muster__crc32c(bytes, 32), UINT32_C(0x8a9136aa));
    memset(bytes, 0xff, sizeof(bytes));
    cr_assert_eq(muster__crc32c(bytes, 32), UINT32_C(0x62a8ab43));
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    cr_assert_eq(muster__crc32c(bytes, 32), UINT32_C(0x46dd794e));
    cr_assert_eq(muster__crc32c("123456789", 9), UINT32_C(0xe3069283));
    cr_assert_eq(muster__crc32c("", 0), 0);
}

Test(event_file, frames)
{
    uint8_t frame[FRAME_BEFORE + 3 + FRAME_AFTER + 1];
    memset(frame, 0x55, sizeof(frame));
    memcpy(frame + FRAME_BEFORE, "abc", 3);
    muster__frame(frame, 3);
    static const uint8_t size[8] = {3, 0, 0, 0, 0, 0, 0, 0};
    cr_assert_eq(memcmp(frame, size, sizeof(size)), 0);
    cr_assert_eq(memcmp(frame + FRAME_BEFORE, "abc", 3), 0);
    uint32_t crc = muster__crc32c("abc", 3);
    uint32_t masked = (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(frame[FRAME_BEFORE + 3 + i], (uint8_t)(masked >> (8 * i)));
    cr_assert_eq(frame[sizeof(frame) - 1], 0x55, "written too far");
}
