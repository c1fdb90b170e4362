/* The macros that mark what the library exports; everything else in it is hidden. */
#ifndef MUSTER_EXPORT_H
#define MUSTER_EXPORT_H

#ifdef __cplusplus
#define MUSTER_BEGIN_DECLS extern "C" {
#define MUSTER_END_DECLS   }
#else
#define MUSTER_BEGIN_DECLS
#define MUSTER_END_DECLS
#endif

#if defined(__GNUC__)
#define MUSTER_API __attribute__((visibility("default")))
#else
#define MUSTER_API
#endif

#endif
