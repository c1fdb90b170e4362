/* The frames of what comes in, before nghttp2 sees them: it drops some without a word. Those that carry nothing cost
   their peer an allowance; headers that are begun are to end. On the loop's thread, with the connection's lock held. */
#include <config.h>

#include <string.h>

#include "network/http2/http2.h"

enum {
    ALLOWANCE_MAX = 2000, /* for frames that carry nothing, and so much more in a second, */
    ALLOWANCE_PER_SECOND = 200,
    ALLOWANCE_BYTES = 1024, /* and one for so many bytes that come or go, */
    ALLOWANCE_ANSWERS = 4,  /* and so many for a frame of data: some answer each with windows and a ping */
};

void muster__http2_frames_begin(struct http2_connection *connection)
{
    connection->allowance = ALLOWANCE_MAX;
    connection->allowance_at = muster__clock_now();
    connection->frames.skip = connection->listener ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
}

void muster__http2_earn(struct http2_connection *connection, size_t bytes)
{
    connection->allowance += (double)bytes / ALLOWANCE_BYTES;
}

void muster__http2_earn_answers(struct http2_connection *connection)
{
    connection->allowance += ALLOWANCE_ANSWERS;
}

/* False: it is spent. */
static bool spend(struct http2_connection *connection)
{
    int64_t now = connection->loop->now;
    connection->allowance += (double)(now - connection->allowance_at) * ALLOWANCE_PER_SECOND / 1000;
    connection->allowance_at = now;
    if (connection->allowance > ALLOWANCE_MAX)
        connection->allowance = ALLOWANCE_MAX;
    connection->allowance -= 1;
    return connection->allowance >= 0;
}

static void frame_ended(struct frames *frames)
{
    if (frames->block_ends)
        frames->block_at = 0;
    frames->block_ends = false;
}

static void frame_begun(struct http2_connection *connection)
{
    struct frames *frames = &connection->frames;
    const uint8_t *head = frames->head;
    uint8_t type = head[3];
    frames->head_size = 0;
    frames->skip = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    bool carries = type == NGHTTP2_DATA && frames->skip > 0;
    if (type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION) {
        frames->block_at = frames->block_at ? frames->block_at : connection->loop->now;
        frames->block_ends = head[4] & NGHTTP2_FLAG_END_HEADERS;
    }
    if (frames->skip == 0)
        frame_ended(frames);
    if (!carries && !spend(connection))
        muster__http2_break(connection, MUSTER_UNAVAILABLE,
                            "the peer sends too many frames that carry nothing");
}

void muster__http2_frames_came(struct http2_connection *connection, const uint8_t *data, size_t size)
{
    struct frames *frames = &connection->frames;
    while (size > 0 && !connection->broken) {
        if (frames->skip > 0) {
            size_t some = frames->skip < size ? frames->skip : size;
            frames->skip -= some;
            data += some;
            size -= some;
            if (frames->skip == 0)
                frame_ended(frames);
            continue;
        }
        size_t left = FRAME_HEAD_SIZE - (size_t)frames->head_size, some = left < size ? left : size;
        memcpy(frames->head + frames->head_size, data, some);
        frames->head_size = (uint8_t)(frames->head_size + some);
        data += some;
        size -= some;
        if (frames->head_size == FRAME_HEAD_SIZE)
            frame_begun(connection);
    }
}
