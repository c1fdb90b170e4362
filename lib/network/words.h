/* What users, servers' owners and peers are told of connections and streams: the same over every
   transport. */
#ifndef MUSTER_NETWORK_WORDS_H
#define MUSTER_NETWORK_WORDS_H

/* ---- why a client has no connection ---- */

#define CAUSE_REFUSED      "connection refused (is the server up?)"
#define CAUSE_NOT_HTTP2    "what answers there is not an HTTP/2 server (is it the right port?)"
#define CAUSE_SILENT       "timed out (is the address right, and no firewall in the way?)"
#define CAUSE_FROZEN       "timed out: the connection was taken, and then nothing came (is it frozen?)"
#define CAUSE_CLOSED       "the connection was closed before HTTP/2 began (is it the right port?)"
#define CAUSE_CLOSED_PLAIN "the connection was closed before HTTP/2 began (does the server expect TLS?)"
#define CAUSE_NOT_TLS      "TLS handshake failed: what answers there does not use TLS"
#define CAUSE_DISTRUSTED                                                                                  \
    "TLS: certificate verify failed: the server's certificate has run out, or no authority trusted here " \
    "has "                                                                                                \
    "signed it (is the CA file right?)"
#define CAUSE_OTHER_HOST                                                                                     \
    "TLS: the server's certificate is not for the host in the address: connect to a DNS name or IP address " \
    "of its subjectAltName, or issue it for this one"
#define CAUSE_LONG_CHAIN                                                                              \
    "TLS: the server shows more than 100 KiB of certificates: its own, and those between it and the " \
    "authority, are enough"
/* With the address. */
#define CAUSE_NOT_GRPC "what answers at %.64s is not a gRPC server (is it the right port?)"
/* With the resolver's reason. */
#define CAUSE_UNKNOWN_HOST "unknown host: %.100s (is the name right?)"
/* With the proxy, and a cause that ends before its hint. */
#define CAUSE_PROXY "the proxy %.50s: %.*s(is it right? no_proxy lists hosts that do not need it)"

/* As `silence` of a transport. */
#define QUESTION_SILENT "no answer (is the address right, and no firewall in the way?)"

/* ---- how streams end ---- */

#define END_BROKEN        "the connection ended"
#define END_LEFT          "the participant closed its stream"
#define END_CUT           "the stream was cut"
#define END_TOO_BIG       "a message was bigger than the limit, or compressed" /* where it is not known which */
#define END_STOPPING      "the server is stopping"
#define END_OUT_OF_MEMORY "the server is out of memory"
#define END_MEMORY_FULL   "the server's network memory is full"

/* What a server tells a client that it does not bear any longer. */
#define END_OVERSIZED  "a message is bigger than the limit"
#define END_COMPRESSED "a message is compressed: compression has to be off"
#define END_MARKED     "a message is marked as compressed, by nothing that was named"
#define END_STALLED    "a message was begun and did not come"
#define END_FLOOD      "the connection begins too many calls"

#endif
