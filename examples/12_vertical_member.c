/*
 * Lesson 12, second half: a member of vertical learning. It has one column of its people, and learns one weight, together
 * with members that have other columns and with the master, 12_vertical_master.c. The column and the weight stay here.
 */
#include <muster/muster.h>

#include <stdio.h>
#include <stdlib.h>

enum { PEOPLE = 400 };

static void check(enum muster_status status, const struct muster_error *error)
{
    if (status == MUSTER_OK)
        return;
    fprintf(stderr, "%s: %s\n", muster_status_name(status), error->text);
    exit(EXIT_FAILURE);
}

/* Member 1 knows heights, member 2 weights. Each does not know every tenth person. */
static struct muster_vertical_table make_columns(int number)
{
    static char names[PEOPLE][16];
    static const char *ids[PEOPLE];
    static double values[PEOPLE];
    size_t rows = 0;
    for (int i = 0; i < PEOPLE; i++) {
        if (i % 10 == number)
            continue;
        snprintf(names[rows], sizeof(names[rows]), "person-%d", i);
        ids[rows] = names[rows];
        values[rows++] = number == 1 ? i * 7 % 40 : i * 11 % 30;
    }
    return (struct muster_vertical_table){.rows = rows, .columns = 1, .ids = ids, .values = values};
}

int main(int count, char **arguments)
{
    struct muster_vertical_member *member;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    if (count != 3) {
        fprintf(stderr, "usage: %s HOST:PORT NUMBER\n", arguments[0]);
        return 2;
    }
    const struct muster_vertical_table columns = make_columns(atoi(arguments[2]));
    check(muster_vertical_member_new(&columns, NULL, &member, &error), &error);
    check(participant_connect(arguments[1], NULL, &participant, &error), &error);

    /* The library knows what to answer; your own instructions would come here, too. */
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL) == MUSTER_OK) {
        if (muster_vertical_member_answer(member, participant, instruction, &error) != MUSTER_OK)
            fprintf(stderr, "%s\n", error.text);
    }

    size_t rows, outputs;
    const double *weights = muster_vertical_member_weights(member, &rows, &outputs);
    if (muster_vertical_member_finished(member))
        printf("member %s has learned that its column counts %s\n", arguments[2],
               weights[0] > 0 ? "for it" : "against it");
    int result = muster_vertical_member_finished(member) ? EXIT_SUCCESS : EXIT_FAILURE;
    participant_free(participant);
    muster_vertical_member_free(member);
    return result;
}
