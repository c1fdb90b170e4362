/* A program's monitor. The library may be built without it: --monitor is refused then. */
#ifndef MONITORING_H
#define MONITORING_H

#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

struct monitoring;

/* Starts the monitor, and shows the log's lines on it. Other machines may look only if there is a token. `address` NULL:
 * there is to be none, and *monitoring is NULL, as it may be in all that follows. */
enum muster_status monitoring_open(const char *address, const struct muster_credentials *credentials,
                                   struct monitoring **monitoring, struct muster_error *error);
/* What is shown is hidden before, or freed after this. */
void monitoring_close(struct monitoring *monitoring);

/* "monitor at port 8081: http://127.0.0.1:8081/", where a person can look. NULL: there is none. */
const char *monitoring_place(const struct monitoring *monitoring);
/* Its port; 0: there is no monitor. */
uint16_t monitoring_port(const struct monitoring *monitoring);

/* As muster_monitor_setting() and so on. */
void monitoring_setting(struct monitoring *monitoring, const char *name, const char *text);
void monitoring_scalar(struct monitoring *monitoring, uint64_t step, const char *name, double value);
void monitoring_histogram(struct monitoring *monitoring, const char *name,
                          const struct muster_histogram *histogram);
enum muster_status monitoring_add_manager(struct monitoring *monitoring, const char *name,
                                          struct participant_manager *manager, struct muster_error *error);
void monitoring_remove_manager(struct monitoring *monitoring, struct participant_manager *manager);
enum muster_status monitoring_add_group(struct monitoring *monitoring, const char *name,
                                        struct muster_group *group, struct muster_error *error);
void monitoring_remove_group(struct monitoring *monitoring, struct muster_group *group);

#endif
