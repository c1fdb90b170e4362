/* MNIST's IDX files, plain or gzipped, split among participants so that each has its own mix of labels: for
 * each label the participants' shares are drawn from a Dirichlet distribution (Hsu et al. 2019). */
#include <config.h>

#include "dataset.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum {
    PARTICIPANTS = 10,
    TRIES = 1000,
    LEAST = 10,
    IMAGE_MAX = 4096,     /* rows and columns */
    INFLATION_MAX = 1032, /* what deflate makes at most of a byte */
};

/* One of the two parts, train or test: labels, and who gets the sample. */
struct part {
    unsigned char *labels;
    size_t *owner;
    size_t count;
};

/* A file that is being read. */
struct idx {
    gzFile file;
    char *path;
    uint64_t size; /* that its header says, the header included */
};

static void close_idx(struct idx *idx)
{
    if (idx->file)
        gzclose(idx->file);
    free(idx->path);
    *idx = (struct idx){.path = NULL};
}

/* Says why less was read than there is to be. */
static enum muster_status broken(const struct idx *idx, struct muster_error *error)
{
    int code;
    const char *text = gzerror(idx->file, &code);
    long long at = (long long)gztell(idx->file);
    size_t path = strlen(idx->path);
    if (strncmp(text, idx->path, path) == 0 && strncmp(text + path, ": ", 2) == 0)
        text += path + 2;
    if (code == Z_OK || code == Z_STREAM_END)
        return explain(error, MUSTER_FORMAT, "%.180s: shorter than its header says: it ends at byte %lld",
                       idx->path, at);
    return explain(error, MUSTER_FORMAT, "%.150s: damaged at byte %lld of what it holds: %.60s", idx->path,
                   at, text);
}

/* Whether the size at the end of a gzipped file is what came out of it: zlib passes over what comes
   behind. */
static bool ends_well(const struct idx *idx)
{
    unsigned char end[4] = {0};
    FILE *file = fopen(idx->path, "rbe");
    bool whole = file && fseek(file, -(long)sizeof(end), SEEK_END) == 0 &&
                 fread(end, 1, sizeof(end), file) == sizeof(end);
    if (file)
        fclose(file);
    uint32_t size = (uint32_t)end[3] << 24 | (uint32_t)end[2] << 16 | (uint32_t)end[1] << 8 | end[0];
    return whole && size == (uint32_t)idx->size;
}

/* Reads to the end, where the checksum is, and sees that nothing is behind it. */
static enum muster_status check_end(const struct idx *idx, struct muster_error *error)
{
    unsigned char more;
    int code, read = gzread(idx->file, &more, 1);
    gzerror(idx->file, &code);
    if (read < 0 || (code != Z_OK && code != Z_STREAM_END))
        return broken(idx, error);
    if (read > 0)
        return explain(error, MUSTER_FORMAT, "%.180s: there is more behind its end at byte %llu", idx->path,
                       (unsigned long long)idx->size);
    if (!gzdirect(idx->file) && !ends_well(idx))
        return explain(
            error, MUSTER_FORMAT,
            "%.140s: something stands behind its compressed end, or it is joined of several .gz files: "
            "compress it anew",
            idx->path);
    return MUSTER_OK;
}

/* Opens DIRECTORY/NAME or the same with .gz and reads its header; the sizes of its dimensions go to
   `sizes`. */
static enum muster_status open_idx(const char *directory, const char *name, size_t dimensions, size_t *sizes,
                                   struct idx *idx, struct muster_error *error)
{
    struct stat about = {0};
    *idx = (struct idx){.path = NULL};
    for (int zipped = 0; zipped < 2 && !idx->file; zipped++) {
        free(idx->path);
        if (asprintf(&idx->path, "%s/%s%s", directory, name, zipped ? ".gz" : "") < 0) {
            idx->path = NULL;
            return dataset_out_of_memory(error);
        }
        idx->file = gzopen(idx->path, "rb");
        if (idx->file && stat(idx->path, &about) != 0)
            about.st_size = 0;
    }
    if (!idx->file)
        return explain(error, MUSTER_IO, "%.100s/%s and %s.gz: %s", directory, name, name, strerror(errno));
    unsigned char header[16];
    unsigned length = (unsigned)(4 + 4 * dimensions);
    /* Two zeros, 8 for unsigned bytes, the number of dimensions. */
    int code, read = gzread(idx->file, header, length);
    gzerror(idx->file, &code);
    if (read != (int)length && code != Z_OK && code != Z_STREAM_END)
        return broken(idx, error);
    if (read != (int)length || header[0] != 0 || header[1] != 0 || header[2] != 8 || header[3] != dimensions)
        return explain(error, MUSTER_FORMAT, "%.180s: not an IDX file of bytes in %zu dimensions", idx->path,
                       dimensions);
    /* No memory is taken for what the file cannot hold. */
    size_t room = (size_t)about.st_size * INFLATION_MAX;
    idx->size = 1;
    for (size_t d = 0; d < dimensions; d++) {
        const unsigned char *size = header + 4 + 4 * d;
        sizes[d] = (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3];
        if (sizes[d] == 0 || sizes[d] > 100000000)
            return explain(error, MUSTER_FORMAT, "%.180s: a dimension of %zu", idx->path, sizes[d]);
        if (sizes[d] > room)
            return explain(error, MUSTER_FORMAT, "%.180s: shorter than its header says", idx->path);
        room /= sizes[d];
        idx->size *= sizes[d];
    }
    idx->size += length;
    return MUSTER_OK;
}

static enum muster_status read_labels(const char *directory, const char *name, struct part *part,
                                      struct dataset *dataset, struct muster_error *error)
{
    struct idx idx;
    enum muster_status status = open_idx(directory, name, 1, &part->count, &idx, error);
    if (status != MUSTER_OK)
        goto cleanup;
    part->labels = malloc(part->count);
    part->owner = calloc(part->count, sizeof(*part->owner));
    if (!part->labels || !part->owner)
        status = dataset_out_of_memory(error);
    else if (gzread(idx.file, part->labels, (unsigned)part->count) != (int)part->count)
        status = broken(&idx, error);
    else
        status = check_end(&idx, error);
    for (size_t i = 0; status == MUSTER_OK && i < part->count; i++) {
        if (part->labels[i] >= dataset->classes)
            dataset->classes = (size_t)part->labels[i] + 1;
    }
cleanup:
    close_idx(&idx);
    return status;
}

/* Gamma(shape, 1) by Marsaglia and Tsang's method (2000); a shape below 1 is boosted as they say. */
static double draw_gamma(struct muster_random *random, double shape)
{
    if (shape < 1)
        return draw_gamma(random, shape + 1) * pow(1 - muster_random_uniform(random), 1 / shape);
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double normal = muster_random_normal(random);
        double v = pow(1 + c * normal, 3);
        if (v > 0 && log(1 - muster_random_uniform(random)) < normal * normal / 2 + d - d * v + d * log(v))
            return d * v;
    }
}

/* Draws Dirichlet shares as ends of intervals in [0, 1], the last of them 1. */
static void draw_shares(struct muster_random *random, double concentration, size_t count, double *ends)
{
    double sum = 0;
    for (size_t k = 0; k < count; k++)
        ends[k] = sum += draw_gamma(random, concentration);
    for (size_t k = 0; k < count; k++)
        /* With a tiny concentration all may underflow to 0: then one participant gets everything. */
        ends[k] = k + 1 == count ? 1 : sum > 0 ? ends[k] / sum : 0;
}

/* Deals the samples of one label out by the shares, in random order. `chosen` has room for all of the
   part. */
static void deal_label(struct muster_random *random, struct part *part, size_t label, const double *ends,
                       size_t *chosen)
{
    size_t count = 0;
    for (size_t i = 0; i < part->count; i++) {
        if (part->labels[i] == label)
            chosen[count++] = i;
    }
    random_shuffle(random, chosen, count);
    for (size_t i = 0, k = 0; i < count; i++) {
        while (((double)i + 0.5) / (double)count > ends[k])
            k++;
        part->owner[chosen[i]] = k;
    }
}

/* The fewest samples that any participant got. */
static size_t fewest(const struct part *part, size_t participants, size_t *counts)
{
    memset(counts, 0, participants * sizeof(*counts));
    for (size_t i = 0; i < part->count; i++)
        counts[part->owner[i]]++;
    size_t least = SIZE_MAX;
    for (size_t k = 0; k < participants; k++)
        least = counts[k] < least ? counts[k] : least;
    return least;
}

/* Deals both parts out with the same shares, again and again until every participant has samples to train
 * on. */
static enum muster_status deal(const struct dataset_options *options, const struct dataset *dataset,
                               struct part *train, struct part *test, struct muster_error *error)
{
    size_t participants = dataset->user_count;
    size_t longest = train->count > test->count ? train->count : test->count;
    size_t wanted = train->count / participants / 2 < LEAST ? train->count / participants / 2 : LEAST;
    double *ends = calloc(participants, sizeof(*ends));
    size_t *counts = calloc(participants, sizeof(*counts));
    size_t *chosen = calloc(longest, sizeof(*chosen));
    enum muster_status status = MUSTER_OK;
    bool dealt = false;
    if (!ends || !counts || !chosen)
        status = dataset_out_of_memory(error);
    for (uint64_t attempt = 0; status == MUSTER_OK && !dealt && attempt < TRIES; attempt++) {
        struct muster_random random;
        random_stream(&random, options->seed, RANDOM_DATA, 0, attempt);
        for (size_t label = 0; label < dataset->classes; label++) {
            draw_shares(&random, options->dirichlet, participants, ends);
            deal_label(&random, train, label, ends, chosen);
            deal_label(&random, test, label, ends, chosen);
        }
        dealt = fewest(train, participants, counts) >= (wanted > 0 ? wanted : 1);
    }
    if (status == MUSTER_OK && !dealt)
        status = explain(error, MUSTER_INVALID,
                         "%zu samples split among %zu participants by Dirichlet(%g) leave someone without: "
                         "take fewer participants or a bigger --dirichlet",
                         train->count, participants, options->dirichlet);
    free(ends);
    free(counts);
    free(chosen);
    return status;
}

/* Gives each user a range of the pool and each sample a place in its owner's range. */
static void place(const struct dataset_options *options, struct dataset *dataset, const struct part *part,
                  bool train, size_t *total)
{
    *total = 0;
    for (size_t k = 0; k < dataset->user_count; k++) {
        struct dataset_user *user = &dataset->users[k];
        size_t count = 0;
        for (size_t i = 0; i < part->count; i++)
            count += part->owner[i] == k;
        if (options->only != DATASET_EVERYONE && options->only != k)
            count = 0;
        *(train ? &user->train_first : &user->test_first) = *total;
        *(train ? &user->train_count : &user->test_count) = count;
        *total += count;
    }
}

/* Reads the pixels of a part, and keeps those of the users whose share is wanted. */
static enum muster_status read_pixels(const struct idx *idx, const struct dataset_options *options,
                                      struct dataset *dataset, const struct part *part, bool train,
                                      struct muster_error *error)
{
    struct samples *pool = train ? &dataset->train : &dataset->test;
    size_t *filled = calloc(dataset->user_count, sizeof(*filled));
    unsigned char *pixels = malloc(dataset->features);
    enum muster_status status = MUSTER_OK;
    if (!filled || !pixels)
        status = dataset_out_of_memory(error);
    for (size_t i = 0; status == MUSTER_OK && i < part->count; i++) {
        size_t owner = part->owner[i];
        if (gzread(idx->file, pixels, (unsigned)dataset->features) != (int)dataset->features)
            status = broken(idx, error);
        if (status != MUSTER_OK || (options->only != DATASET_EVERYONE && options->only != owner))
            continue;
        const struct dataset_user *user = &dataset->users[owner];
        size_t at = (train ? user->train_first : user->test_first) + filled[owner]++;
        pool->y[at] = part->labels[i];
        for (size_t j = 0; j < dataset->features; j++)
            pool->x[at * dataset->features + j] = (float)pixels[j] / 255;
    }
    free(filled);
    free(pixels);
    return status == MUSTER_OK ? check_end(idx, error) : status;
}

/* Rows and columns of the images: what those of the first file have is taken, and expected of the second. */
struct shape {
    size_t rows, columns;
};

static enum muster_status read_images(const char *directory, const char *name,
                                      const struct dataset_options *options, struct dataset *dataset,
                                      const struct part *part, struct shape *shape, bool train,
                                      struct muster_error *error)
{
    struct idx idx;
    size_t sizes[3], total;
    enum muster_status status = open_idx(directory, name, 3, sizes, &idx, error);
    if (status != MUSTER_OK)
        goto cleanup;
    if (dataset->features == 0 && sizes[1] <= IMAGE_MAX && sizes[2] <= IMAGE_MAX) {
        *shape = (struct shape){sizes[1], sizes[2]};
        dataset->features = sizes[1] * sizes[2];
    }
    if (sizes[0] != part->count)
        status = explain(error, MUSTER_FORMAT, "%.150s: %zu images do not go with %zu labels", idx.path,
                         sizes[0], part->count);
    else if (dataset->features == 0)
        status = explain(error, MUSTER_FORMAT, "%.150s: images of %zu x %zu are too big", idx.path, sizes[1],
                         sizes[2]);
    else if (sizes[1] != shape->rows || sizes[2] != shape->columns)
        status = explain(error, MUSTER_FORMAT,
                         "%.120s: images of %zu x %zu do not go with those to train with, of %zu x %zu",
                         idx.path, sizes[1], sizes[2], shape->rows, shape->columns);
    if (status != MUSTER_OK)
        goto cleanup;
    place(options, dataset, part, train, &total);
    status = train ? dataset_extend_train(dataset, total, error) : dataset_extend_test(dataset, total, error);
    if (status == MUSTER_OK)
        status = read_pixels(&idx, options, dataset, part, train, error);
cleanup:
    close_idx(&idx);
    return status;
}

enum muster_status dataset_load_idx(const struct dataset_options *options, const char *directory,
                                    struct dataset *dataset, struct muster_error *error)
{
    struct part train = {0}, test = {0};
    struct shape shape = {0};
    enum muster_status status =
        dataset_make_users(dataset, options->participants > 0 ? options->participants : PARTICIPANTS, error);
    if (status == MUSTER_OK)
        status = read_labels(directory, "train-labels-idx1-ubyte", &train, dataset, error);
    if (status == MUSTER_OK)
        status = read_labels(directory, "t10k-labels-idx1-ubyte", &test, dataset, error);
    if (status == MUSTER_OK)
        status = deal(options, dataset, &train, &test, error);
    if (status == MUSTER_OK)
        status =
            read_images(directory, "train-images-idx3-ubyte", options, dataset, &train, &shape, true, error);
    if (status == MUSTER_OK)
        status =
            read_images(directory, "t10k-images-idx3-ubyte", options, dataset, &test, &shape, false, error);
    free(train.labels);
    free(train.owner);
    free(test.labels);
    free(test.owner);
    return status;
}
