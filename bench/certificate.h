/* The certificate of a measurement with TLS: made once in a run of bench, on P-256, for 127.0.0.1, and signed by
   itself. bench's processes find it by their environment. */
#ifndef BENCH_CERTIFICATE_H
#define BENCH_CERTIFICATE_H

/* Makes it, unless it is there, in a directory that is removed when bench ends. */
void certificate_make(void);

/* The files. The participants trust the certificate as an authority. */
const char *certificate_path(void);
const char *certificate_key_path(void);

#endif
