/* A port of this machine that nobody listens on, and that stays so until somebody asks for it by number. */
#ifndef MUSTER_TESTS_PORT_H
#define MUSTER_TESTS_PORT_H

#include <stdint.h>

/* The socket that keeps it is bound and does not listen; it is the caller's to close. Aborts when there is
   none. */
uint16_t reserve_port(int *descriptor);

#endif
