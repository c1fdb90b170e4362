/* Reading MNIST's IDX files, plain or gzipped: how to split them, the sizes of three of the four files, and
   the four. */
#include <config.h>

#include "fuzz/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { USERS = 4, FILES = 4 };
    static const char *const names[FILES] = {"train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte",
                                             "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"};
    struct input input = {data, size};
    struct dataset_options options = DATASET_OPTIONS_INIT;
    char spec[4096];
    size_t sizes[FILES];
    snprintf(spec, sizeof(spec), "idx:%s", data_folder());
    options.spec = spec;
    options.participants = 1 + take_byte(&input) % USERS;
    options.dirichlet = (1 + take_byte(&input)) / 64.0;
    for (size_t i = 0; i < FILES - 1; i++)
        sizes[i] = take_size(&input);
    sizes[FILES - 1] = input.left;
    for (size_t i = 0; i < FILES; i++)
        data_write(names[i], take_bytes(&input, sizes[i]));
    data_load(&options, options.participants - 1);
    return 0;
}
