/* Labels: what a participant says of itself when it joins. */
#ifndef MUSTER_LABEL_H
#define MUSTER_LABEL_H

/**
 * A name and a value that the server can read, in UTF-8: where the participant runs, for example, or which
 * data it has. See proxy_label().
 */
struct participant_label {
    const char *name;
    const char *value;
};

#endif
