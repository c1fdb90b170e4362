/* What participants may call themselves and say in their labels. */
#ifndef MUSTER_PROXY_NAME_H
#define MUSTER_PROXY_NAME_H

/* What is wrong with a text of a participant, as in "a label ... is not taken", or with its name; NULL:
   nothing. */
const char *muster__text_fault(const char *text);
const char *muster__name_fault(const char *name);

#endif
