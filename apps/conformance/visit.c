/* Our visit to the server that is judged. */
#include <config.h>

#include "conformance/visit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/look.h"
#include "link/service.h"
#include "wire/wire.h"

#define EXPECT(...) checks_expect(visit->checks, __VA_ARGS__)

/* Of an answer that is granted in advance more may be announced, without being too much. */
enum { CHUNK_MOST = 256 << 10, BEYOND_MOST = 48 << 20 };

static int64_t after(const struct visit *visit, int64_t milliseconds)
{
    return inbox_now(visit->inbox) + milliseconds;
}

/* ---- what happens ---- */

bool visit_step(struct visit *visit, int64_t until)
{
    struct event *event = inbox_take(visit->inbox, until);
    if (!event)
        return false;
    bool ours = event->line == visit->line;
    if (visit->options->trace && event->line) {
        fprintf(stderr, "%llu <-", (unsigned long long)event->line->number);
        if (event->kind == EVENT_ENDED)
            fprintf(stderr, " the stream is over: %s %s\n", muster_status_name(event->status), event->text);
        else
            look_print(stderr, &muster__server_message__descriptor, event->bytes, event->size);
    }
    if (ours && event->kind == EVENT_MESSAGE) {
        visit_judge(visit, event->bytes, event->size);
    } else if (ours && event->kind == EVENT_ENDED) {
        visit->over = true;
        visit->status = event->status;
        snprintf(visit->text, sizeof(visit->text), "%s", event->text);
    }
    free(event);
    return true;
}

void visit_listen(struct visit *visit)
{
    int64_t until = after(visit, visit->options->quiet_ms);
    while (visit_step(visit, until))
        ;
}

bool visit_await_welcome(struct visit *visit)
{
    int64_t until = after(visit, visit->options->limit_ms);
    while (!visit->over && !visit->welcomed && !visit->told_to_leave && visit_step(visit, until))
        ;
    return visit->welcomed && !visit->over;
}

bool visit_await_instruction(struct visit *visit)
{
    int64_t until = after(visit, visit->options->wait_ms);
    while (!visit->over && !visit->told_to_leave &&
           (!visit->instruction || visit->answered || visit->cancelled || visit->may_repeat ||
            visit->received < visit->announced) &&
           visit_step(visit, until))
        ;
    return !visit->over && visit->instruction && !visit->answered && !visit->cancelled &&
           !visit->may_repeat && visit->received >= visit->announced;
}

bool visit_await_end(struct visit *visit)
{
    int64_t until = after(visit, visit->options->limit_ms);
    while (!visit->over && visit_step(visit, until))
        ;
    return visit->over;
}

/* ---- what we say ---- */

bool visit_open(struct visit *visit)
{
    return visit_open_service(visit, &muster__connect_service);
}

bool visit_open_service(struct visit *visit, const struct service *service)
{
    struct muster_error error = {MUSTER_OK, ""};
    visit->line = inbox_connect(visit->inbox, visit->options->address, service, (size_t)64 << 20,
                                visit->connection, &error);
    visit->over = visit->spoke = visit->welcomed = visit->told_to_leave = visit->has_grant = false;
    visit->messages = 0;
    return EXPECT(CHECK_S_REACHED, visit->line, "%s", error.text);
}

static void send_buffer(struct visit *visit, struct buffer *buffer)
{
    if (!buffer || visit->over)
        return;
    if (visit->options->trace) {
        fprintf(stderr, "%llu ->", (unsigned long long)visit->line->number);
        look_print(stderr, &muster__participant_message__descriptor, buffer->data, buffer->size);
    }
    visit->line->stream->ops->send(visit->line->stream, NULL, 0, buffer);
}

void visit_send(struct visit *visit, const Muster__ParticipantMessage *message)
{
    struct buffer *buffer = muster__buffer_new(muster__participant_message__get_packed_size(message));
    if (buffer)
        muster__participant_message__pack(message, buffer->data);
    visit->spoke |= visit->welcomed && buffer && buffer->size == 0;
    send_buffer(visit, buffer);
    muster__buffer_release(buffer);
}

void visit_send_bytes(struct visit *visit, const void *bytes, size_t size)
{
    struct buffer *buffer = muster__buffer_new(size);
    if (buffer && size)
        memcpy(buffer->data, bytes, size);
    send_buffer(visit, buffer);
    muster__buffer_release(buffer);
}

void visit_hello(struct visit *visit, const char *name, bool resume)
{
    static char chunks[] = "chunks", refused[] = "refused", heartbeats[] = "heartbeats", asks[] = "asks";
    char *features[] = {chunks, refused, heartbeats, asks};
    Muster__ParticipantMessage message = MUSTER__PARTICIPANT_MESSAGE__INIT;
    Muster__Hello hello = MUSTER__HELLO__INIT;
    hello.name = (char *)name;
    hello.features = features;
    hello.n_features = visit->has_features ? sizeof(features) / sizeof(*features) : 0;
    hello.max_message_size = VISIT_MESSAGE_MAX;
    hello.max_payload_size = visit->has_features ? VISIT_PAYLOAD_MAX : 0;
    if (resume) {
        hello.session = (ProtobufCBinaryData){visit->token_size, visit->token};
        hello.last_turn = visit->last_turn;
    }
    message.content_case = MUSTER__PARTICIPANT_MESSAGE__CONTENT_HELLO;
    message.hello = &hello;
    visit_send(visit, &message);
}

bool visit_join(struct visit *visit, bool resume)
{
    const Muster__ParticipantMessage empty = MUSTER__PARTICIPANT_MESSAGE__INIT;
    if (!resume)
        visit_forget(visit);
    if (!visit_open(visit))
        return false;
    visit_hello(visit, visit->name, resume);
    if (!visit_await_welcome(visit)) {
        if (visit->over && visit->status == MUSTER_EXISTS)
            return false; /* not yet, perhaps */
        return EXPECT(CHECK_S_REACHED, false, "Welcome did not come: %s",
                      visit->over ? visit->text : "nothing did");
    }
    checks_pass(visit->checks, CHECK_S_REACHED);
    visit_send(visit, &empty);
    return true;
}

/* The answer to the last instruction, of its kind; without one it is for no turn that there was. */
static void begin_answer(struct visit *visit, Muster__ParticipantMessage *message)
{
    muster__participant_message__init(message);
    message->turn = visit->instruction ? visit->instruction->turn : 0;
    visit->answered = true;
}

void visit_answer_unknown(struct visit *visit)
{
    Muster__ParticipantMessage message;
    begin_answer(visit, &message);
    message.content_case = MUSTER__PARTICIPANT_MESSAGE__CONTENT_UNKNOWN_INSTRUCTION;
    message.unknown_instruction = true;
    visit_send(visit, &message);
}

void visit_answer_nothing(struct visit *visit)
{
    Muster__ParticipantMessage message = MUSTER__PARTICIPANT_MESSAGE__INIT;
    message.turn = visit->instruction->turn + 1000;
    message.content_case = MUSTER__PARTICIPANT_MESSAGE__CONTENT_UNKNOWN_INSTRUCTION;
    message.unknown_instruction = true;
    visit_send(visit, &message);
}

Muster__Arrays *visit_arrays(const Muster__ServerMessage *instruction)
{
    if (instruction->content_case == MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG)
        return instruction->train_config;
    return instruction->content_case == MUSTER__SERVER_MESSAGE__CONTENT_EVALUATE_CONFIG
               ? instruction->evaluate_config
               : NULL;
}

static void answer_with(struct visit *visit, Muster__Arrays *arrays)
{
    Muster__ParticipantMessage message;
    begin_answer(visit, &message);
    if (visit->instruction->content_case == MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG) {
        message.content_case = MUSTER__PARTICIPANT_MESSAGE__CONTENT_RESULT;
        message.result = arrays;
    } else {
        message.content_case = MUSTER__PARTICIPANT_MESSAGE__CONTENT_EVALUATE_RESULT;
        message.evaluate_result = arrays;
    }
    visit_send(visit, &message);
}

/* Numbers as a training wants them. */
static void add_scalars(Muster__Arrays *answer, Muster__Scalar scalars[3], Muster__Scalar *pointers[3])
{
    static const struct {
        char name[12];
        double value;
    } numbers[] = {{"num_samples", 1}, {"loss", 1}, {"accuracy", 0.5}};
    for (size_t i = 0; i < 3; i++) {
        muster__scalar__init(&scalars[i]);
        scalars[i].name = (char *)numbers[i].name;
        scalars[i].value = numbers[i].value;
        pointers[i] = &scalars[i];
    }
    answer->n_scalars = 3;
    answer->scalars = pointers;
}

void visit_answer(struct visit *visit)
{
    Muster__Arrays *received = visit_arrays(visit->instruction);
    Muster__Arrays answer = MUSTER__ARRAYS__INIT;
    Muster__Scalar scalars[3], *pointers[3];
    if (!received) {
        visit_answer_unknown(visit);
        return;
    }
    if (visit->instruction->content_case == MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG) {
        answer.n_theta = received->n_theta;
        answer.theta = received->theta;
        answer.n_names = received->n_names;
        answer.names = received->names;
    }
    if (!visit->original)
        add_scalars(&answer, scalars, pointers);
    answer_with(visit, &answer);
}

/* How much of a .npy file is its header. */
static size_t header_size(const ProtobufCBinaryData *file)
{
    if (file->len < 12)
        return file->len;
    size_t size = file->data[6] == 1 ? 10u + file->data[8] + 256u * file->data[9]
                                     : 12u + file->data[8] + 256u * file->data[9];
    return size < file->len ? size : file->len;
}

static uint64_t data_size(const Muster__NDArray *array)
{
    return array->header.len > 0 ? 0 : array->ndarray.len - header_size(&array->ndarray);
}

bool visit_announce(struct visit *visit, uint64_t *size)
{
    Muster__Arrays *received = visit_arrays(visit->instruction);
    Muster__Scalar scalars[3], *pointers[3];
    *size = 0;
    if (!received || visit->instruction->content_case != MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG)
        return false;
    Muster__Arrays answer = *received;
    Muster__NDArray *own = calloc(received->n_theta + 1, sizeof(*own));
    Muster__NDArray **theta = calloc(received->n_theta + 1, sizeof(*theta));
    for (size_t i = 0; own && theta && i < received->n_theta; i++) {
        const Muster__NDArray *array = received->theta[i];
        own[i] = *array;
        theta[i] = &own[i];
        if (data_size(array) == 0)
            continue;
        *size += data_size(array);
        own[i].header = (ProtobufCBinaryData){header_size(&array->ndarray), array->ndarray.data};
        own[i].ndarray = (ProtobufCBinaryData){0, NULL};
    }
    answer.theta = theta;
    add_scalars(&answer, scalars, pointers);
    if (*size > 0)
        answer_with(visit, &answer);
    free(own);
    free(theta);
    return *size > 0;
}

uint64_t visit_announce_beyond(struct visit *visit)
{
    uint8_t header[MUSTER__NPY_HEADER_SIZE];
    struct muster_array array = {MUSTER_UINT8, 1, {visit->instruction->granted + 1024}, NULL};
    Muster__Arrays answer = MUSTER__ARRAYS__INIT;
    Muster__NDArray own = MUSTER__NDARRAY__INIT, *theta = &own;
    if (visit->instruction->granted > BEYOND_MOST || !visit_arrays(visit->instruction))
        return 0;
    muster__npy_write_header(&array, header);
    own.header = (ProtobufCBinaryData){sizeof(header), header};
    answer.n_theta = 1;
    answer.theta = &theta;
    answer_with(visit, &answer);
    return array.shape[0];
}

/* Copies a part of the data of all arrays. */
static size_t copy_data(const Muster__Arrays *arrays, uint64_t offset, uint8_t *part, size_t size)
{
    size_t copied = 0;
    for (size_t i = 0; i < arrays->n_theta && copied < size; i++) {
        const ProtobufCBinaryData *file = &arrays->theta[i]->ndarray;
        uint64_t own = data_size(arrays->theta[i]);
        if (offset >= own) {
            offset -= own;
            continue;
        }
        size_t taken = own - offset < size - copied ? (size_t)(own - offset) : size - copied;
        memcpy(part + copied, file->data + header_size(file) + offset, taken);
        copied += taken;
        offset = 0;
    }
    return copied;
}

void visit_chunk(struct visit *visit, uint64_t offset, size_t size)
{
    Muster__ParticipantMessage message = MUSTER__PARTICIPANT_MESSAGE__INIT;
    Muster__Chunk chunk = MUSTER__CHUNK__INIT;
    size_t most = size < CHUNK_MOST ? size : CHUNK_MOST;
    uint8_t *part = malloc(most + 1);
    const Muster__Arrays *arrays = visit_arrays(visit->instruction);
    if (part && arrays) {
        chunk.offset = offset;
        chunk.grant = visit->grant;
        chunk.data = (ProtobufCBinaryData){copy_data(arrays, offset, part, most), part};
        message.turn = visit->instruction->turn;
        message.content_case = MUSTER__PARTICIPANT_MESSAGE__CONTENT_CHUNK;
        message.chunk = &chunk;
        visit_send(visit, &message);
    }
    free(part);
}

/* ---- the end ---- */

void visit_leave(struct visit *visit)
{
    if (!visit->over)
        visit->line->stream->ops->close(visit->line->stream, MUSTER_OK, "");
    if (!visit_await_end(visit))
        visit_cut(visit);
}

void visit_cut(struct visit *visit)
{
    visit->line->stream->ops->cut(visit->line->stream);
    visit_await_end(visit);
}

void visit_forget(struct visit *visit)
{
    if (visit->instruction)
        muster__server_message__free_unpacked(visit->instruction, NULL);
    free(visit->data);
    free(visit->sizes);
    visit->instruction = NULL;
    visit->data = NULL;
    visit->sizes = NULL;
    visit->may_repeat = visit->answered = visit->cancelled = false;
    visit->last_turn = visit->announced = visit->received = 0;
    visit->token_size = 0;
}
