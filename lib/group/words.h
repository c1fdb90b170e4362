/* The words between a coordinator and a member: labels, and types of messages. docs/groups.md describes
   them. */
#ifndef MUSTER_GROUP_WORDS_H
#define MUSTER_GROUP_WORDS_H

/* The labels of a member's Hello; its participant's name is "GROUP:NAME". */
#define LABEL_GROUP       "group"
#define LABEL_SIZE        "size"        /* how many members it is to have */
#define LABEL_LEAST       "least"       /* and at least, once the limit has passed */
#define LABEL_LIMIT       "limit"       /* milliseconds; -1: none */
#define LABEL_ADDRESS     "address"     /* where the member listens; or else */
#define LABEL_PORT        "port"        /* on which port of the address that it comes from */
#define LABEL_INCARNATION "incarnation" /* of its process: 16 hexadecimal digits */

/* The types of instructions and answers: group.proto. */
#define ROSTER_TYPE "muster.roster"
#define REPORT_TYPE "muster.report"

#endif
