/* Loading OpenBLAS. */
#include <config.h>

#include "learning/vertical/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "status.h"
#include "thread.h"

#define LIBRARY "libopenblas.so.0"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char failure[200]; /* written once; "": none */

struct muster__vertical_blas muster__vertical_blas;

/* The cast is POSIX's. */
static bool find(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    *(void **)function = found;
    return found != NULL;
}

static void load_all(void)
{
    struct muster__vertical_blas *blas = &muster__vertical_blas;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library || !find(library, "cblas_daxpy", &blas->daxpy) ||
        !find(library, "cblas_ddot", &blas->ddot) || !find(library, "cblas_dgemm", &blas->dgemm) ||
        !find(library, "cblas_dgemv", &blas->dgemv) || !find(library, "cblas_dscal", &blas->dscal) ||
        !find(library, "dgesdd_", &blas->dgesdd)) {
        const char *why = dlerror();
        snprintf(failure, sizeof(failure), "%s", why ? why : LIBRARY " is another library");
    }
}

static void load(void)
{
    sigset_t saved;
    muster__block_signals(&saved); /* OpenBLAS starts threads */
    load_all();
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

enum muster_status muster__vertical_blas_load(struct muster_error *error)
{
    pthread_once(&once, load);
    if (failure[0] != '\0')
        return muster__error(error, MUSTER_UNSUPPORTED, "vertical learning needs OpenBLAS: %s", failure);
    return MUSTER_OK;
}
