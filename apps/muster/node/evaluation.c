/* How good the models are. */
#include <config.h>

#include "evaluation.h"

#include <math.h>
#include <stdio.h>

#include "common/signals.h"
#include "common/units.h"

const char evaluation_columns[] =
    "round,seconds,loss,accuracy,nodes_accuracy,mean_accuracy,distance,consensus,bytes_sent,bytes_received\n";

static double accuracy_of(const struct node *node, const struct model *model)
{
    double accuracy;
    logistic_evaluate(&model->logistic, &node->dataset->test, &accuracy, NULL);
    return accuracy;
}

/* The mean of all models, and then what each has to say about its own. */
static enum muster_status compare(struct node *node, const struct model *model, struct model *mean,
                                  struct evaluation *evaluation, struct muster_error *error)
{
    double own[2] = {evaluation->accuracy, 0};
    const struct muster_array sums = {.dtype = MUSTER_FLOAT64, .dimensions = 1, .shape = {2}, .data = own};
    logistic_copy(&mean->logistic, &model->logistic);
    enum muster_status status = node_reduce(node, MUSTER_MEAN, 1, mean->arrays, LOGISTIC_ARRAYS, error);
    if (status != MUSTER_OK)
        return status;
    evaluation->mean_accuracy = accuracy_of(node, mean);
    own[1] = squared_distance(model->arrays, mean->arrays, LOGISTIC_ARRAYS);
    evaluation->distance = sqrt(own[1]);
    status = node_reduce(node, MUSTER_MEAN, 1, &sums, 1, error);
    if (status == MUSTER_OK) {
        evaluation->nodes_accuracy = own[0];
        evaluation->consensus = sqrt(own[1]);
    }
    return status;
}

void evaluate(struct node *node, const struct model *model, struct model *mean, bool together,
              struct evaluation *evaluation)
{
    struct muster_error why;
    bool was_whole = atomic_load(&node->whole);
    evaluation->accuracy = accuracy_of(node, model);
    evaluation->nodes_accuracy = evaluation->mean_accuracy = NAN;
    evaluation->distance = evaluation->consensus = NAN;
    if (together && was_whole && compare(node, model, mean, evaluation, &why) != MUSTER_OK &&
        signals_caught() == 0)
        node_tell(node, "the models of all are not compared any more: %s", why.text);
}

/* A number, or nothing. */
static const char *put(char text[32], double number)
{
    text[0] = '\0';
    if (!isnan(number))
        snprintf(text, 32, "%.6g", number);
    return text;
}

void evaluation_tell(const struct node *node, uint64_t round, const struct evaluation *evaluation,
                     const struct muster_traffic *traffic, char *line, size_t size)
{
    char numbers[6][32], together[128] = "", sent[UNITS_SIZE], received[UNITS_SIZE];
    if (!isnan(evaluation->consensus))
        snprintf(together, sizeof(together), " (nodes %.3f, mean model %.3f), distance %.3g (consensus %.3g)",
                 evaluation->nodes_accuracy, evaluation->mean_accuracy, evaluation->distance,
                 evaluation->consensus);
    node_tell(node, "round %llu: loss %.4f, accuracy %.3f%s, sent %s, received %s", (unsigned long long)round,
              evaluation->loss, evaluation->accuracy, together,
              units_bytes((double)traffic->bytes_sent, sent),
              units_bytes((double)traffic->bytes_received, received));
    snprintf(line, size, "%llu,%.3f,%s,%s,%s,%s,%s,%s,%llu,%llu\n", (unsigned long long)round,
             node_seconds(node), put(numbers[0], evaluation->loss), put(numbers[1], evaluation->accuracy),
             put(numbers[2], evaluation->nodes_accuracy), put(numbers[3], evaluation->mean_accuracy),
             put(numbers[4], evaluation->distance), put(numbers[5], evaluation->consensus),
             (unsigned long long)traffic->bytes_sent, (unsigned long long)traffic->bytes_received);
}

/* ---- at the end ---- */

/* Sums over models, whose distances are counted from that of this node. */
struct sums {
    struct mixture mixture;
    double accuracy, square;
    size_t count;
};

static void add(const struct node *node, struct sums *sums, const struct model *own,
                const struct model *model)
{
    mixture_add(&sums->mixture, model->arrays, LOGISTIC_ARRAYS, 1);
    sums->accuracy += accuracy_of(node, model);
    sums->square += squared_distance(model->arrays, own->arrays, LOGISTIC_ARRAYS);
    sums->count++;
}

/* Fetches the model of a rank into `model`; false: it does not come. */
static bool fetch_model(const struct node *node, uint32_t rank, uint64_t version, struct model *model)
{
    struct muster_message message;
    struct muster_error why;
    enum muster_status status =
        muster_group_fetch(node->group, rank, version, node->options->patience_ms, &message, NULL, &why);
    bool taken = status == MUSTER_OK && node_model_take(model, &message);
    if (!taken && signals_caught() == 0)
        node_tell(node, "the result is without rank %u: %s", (unsigned)rank,
                  status == MUSTER_OK ? "its model is not valid" : why.text);
    muster_message_clear(&message);
    return taken;
}

enum muster_status evaluate_finally(struct node *node, const struct model *model, uint64_t version,
                                    struct muster_error *error)
{
    struct sums sums = {0};
    struct model other = {0};
    enum muster_status status = node_model_init(&other, node->dataset, error);
    if (status == MUSTER_OK && !mixture_begin(&sums.mixture, model->arrays, LOGISTIC_ARRAYS))
        status = dataset_out_of_memory(error);
    if (status == MUSTER_OK) {
        add(node, &sums, model, model);
        for (uint32_t rank = 1; rank < node->size; rank++) {
            if (fetch_model(node, rank, version, &other))
                add(node, &sums, model, &other);
        }
        mixture_end(&sums.mixture, other.arrays, LOGISTIC_ARRAYS);
        double count = (double)sums.count;
        double square = sums.square / count - squared_distance(other.arrays, model->arrays, LOGISTIC_ARRAYS);
        node_tell(node, "final accuracy %.3f, consensus %.3g, %zu rounds", sums.accuracy / count,
                  sqrt(fmax(square, 0)), node->options->rounds);
    }
    mixture_free(&sums.mixture);
    node_model_free(&other);
    return status;
}
