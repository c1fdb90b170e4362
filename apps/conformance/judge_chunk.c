/* Judging answers in chunks. */
#include <config.h>

#include "conformance/guest.h"

#define EXPECT(...) checks_expect(guest->checks, __VA_ARGS__)

void guest_judge_announced(struct guest *guest, uint64_t turn, uint64_t announced)
{
    const struct guest_turn *instruction = &guest->turns[turn];
    if (!EXPECT(CHECK_CHUNKS_FEATURE, guest_chunks(guest), "turn %llu: it announces %llu bytes, and %s",
                (unsigned long long)turn, (unsigned long long)announced,
                guest->has_chunks ? "Welcome had no \"chunks\"" : "its Hello had none"))
        return; /* none of it will be granted */
    guest->answer = (struct guest_answer){
        .turn = turn,
        .announced = announced,
        .granted = announced <= instruction->granted,
        .limit = instruction->limit,
    };
}

/* A chunk of something else than the answer that is on its way. */
static void judge_stray(struct guest *guest, uint64_t turn)
{
    const struct guest_turn *instruction = &guest->turns[turn <= guest->turn ? turn : 0];
    unsigned long long number = turn;
    if (turn == 0 || turn > guest->turn)
        EXPECT(CHECK_CHUNK_TURN, false, "a chunk is of turn %llu, and the newest is %llu", number,
               (unsigned long long)guest->turn);
    else if (instruction->given_up)
        EXPECT(CHECK_CHUNK_TURN, guest_newest_answered(guest) <= turn,
               "a chunk is of turn %llu, which was given up, after an answer to turn %llu", number,
               (unsigned long long)guest_newest_answered(guest));
    else
        EXPECT(CHECK_CHUNK_TURN, false, "a chunk is of turn %llu, whose answer has announced nothing",
               number);
}

/* False: the chunk does not count; it may be one of the grant before, which was on its way. */
static bool judge_grant(struct guest *guest, const Muster__Chunk *chunk)
{
    struct guest_answer *answer = &guest->answer;
    unsigned long long number = chunk->grant;
    if (!EXPECT(CHECK_CHUNK_GRANT, answer->granted, "turn %llu: a chunk came, and nothing was granted",
                (unsigned long long)answer->turn))
        return false;
    if (chunk->grant == answer->grant)
        return true;
    EXPECT(CHECK_CHUNK_GRANT, answer->was_granted && chunk->grant == answer->former_grant && !answer->begun,
           "turn %llu: a chunk names grant %llu, and %llu is the one that counts",
           (unsigned long long)answer->turn, number, (unsigned long long)answer->grant);
    return false;
}

void guest_judge_chunk(struct guest *guest, uint64_t turn, const Muster__Chunk *chunk)
{
    struct guest_answer *answer = &guest->answer;
    if (!EXPECT(CHECK_CHUNKS_FEATURE, guest_chunks(guest),
                "it sends a chunk, and not both sides have the feature"))
        return;
    if (turn == 0 || turn != answer->turn || guest->turns[turn].given_up) {
        judge_stray(guest, turn);
        return;
    }
    if (!judge_grant(guest, chunk))
        return;
    unsigned long long offset = chunk->offset, received = answer->received, announced = answer->announced;
    EXPECT(CHECK_CHUNK_OFFSET, chunk->data.len > 0, "turn %llu: a chunk is empty", (unsigned long long)turn);
    if (!answer->begun && answer->grant > 0)
        EXPECT(CHECK_CHUNK_AGAIN, offset == 0, "its first chunk under grant %llu has the offset %llu",
               (unsigned long long)answer->grant, offset);
    EXPECT(CHECK_CHUNK_OFFSET, offset == received, "turn %llu: a chunk has the offset %llu, and %llu is next",
           (unsigned long long)turn, offset, received);
    answer->begun = true;
    answer->received += chunk->data.len;
    EXPECT(CHECK_CHUNK_SIZE_, answer->received <= announced,
           "turn %llu: %llu bytes came, and %llu were announced", (unsigned long long)turn,
           (unsigned long long)answer->received, announced);
    EXPECT(CHECK_CHUNK_LIMIT, answer->limit == 0 || answer->received <= answer->limit,
           "turn %llu: it has sent %llu bytes, and the limit is %llu", (unsigned long long)turn,
           (unsigned long long)answer->received, (unsigned long long)answer->limit);
}
