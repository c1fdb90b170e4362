/* Telling a service manager, such as systemd with Type=notify, how far a program is. */
#ifndef NOTIFY_H
#define NOTIFY_H

/* Says that the program serves now, and that it is about to end: to the datagram socket that NOTIFY_SOCKET names, a path or an
 * abstract name with '@' before it. Nothing happens where the environment does not name one. Waits for nothing; what goes
 * wrong is written to the log, as a warning. Any thread. */
void notify_ready(void);
void notify_stopping(void);

#endif
