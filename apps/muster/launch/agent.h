/* The agent: starts the processes of a run on one host, for the launcher. Its input and output are a channel. */
#ifndef AGENT_H
#define AGENT_H

/* What the launcher tells an agent, each an object with one member:
 *   {"start": {"id", "arguments": [..], "environment": [..], "directory": text or null, "serves": bool}}
 *   {"signal": NUMBER, "id"}        to a process and all of its group
 *   {"ping": N}                     is answered by {"pong": N}
 *   {"end": MILLISECONDS}           ends all processes within this time, and then itself
 * And what it tells the launcher:
 *   {"hello": VERSION, "host": name, "seen": where the launcher is seen from here, or null}
 *   {"id", "started": PID}, or {"id", "failed": why}
 *   {"id", "bytes": N}              and N bytes of its output
 *   {"id", "port": N, "monitor": N or null}
 *   {"id", "ended": what waitpid() says}
 * An id is the launcher's, from 0; one that has ended may start again. */

/* How often the launcher pings, and how long an agent goes on without. */
enum { AGENT_PING_MS = 5000, AGENT_SILENCE_MS = 60000, AGENT_IDS_MAX = 20000 };

int agent_command(int count, char **arguments);

#endif
