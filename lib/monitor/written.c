/* Text that is being written. */
#include <config.h>

#include <stdlib.h>

#include "monitor/written.h"

FILE *muster__written_begin(struct written *written)
{
    *written = (struct written){0};
    return written->stream = open_memstream(&written->bytes, &written->size);
}

char *muster__written_end(struct written *written, size_t *size)
{
    int failed = ferror(written->stream);
    if (fclose(written->stream) || failed) {
        free(written->bytes);
        return NULL;
    }
    *size = written->size;
    return written->bytes;
}
