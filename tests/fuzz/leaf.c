/* Reading LEAF's JSON: one byte for the user whose share is loaded alone, and three files with a byte 0x1e
   between them. */
#include <config.h>

#include "fuzz/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { SEPARATOR = 0x1e, USERS = 4 };
    struct input input = {data, size};
    size_t only = take_byte(&input) % USERS;
    char spec[4096];
    struct dataset_options options = DATASET_OPTIONS_INIT;
    snprintf(spec, sizeof(spec), "leaf:%s", data_folder());
    options.spec = spec;
    data_write("train/a.json", data_take(&input, SEPARATOR));
    data_write("test/a.json", data_take(&input, SEPARATOR));
    data_write("train/b.json", input);
    data_load(&options, only);
    return 0;
}
