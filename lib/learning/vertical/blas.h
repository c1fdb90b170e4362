/*
 * OpenBLAS, with its LAPACK. It starts threads as soon as it is loaded. So a program that only links muster
 * does not load it, and when somebody learns, signals are blocked in its threads as they are in all that the
 * library starts.
 */
#ifndef MUSTER_VERTICAL_BLAS_H
#define MUSTER_VERTICAL_BLAS_H

#include <cblas.h>
#include <stddef.h>

#include <muster/status.h>

/* Its functions. */
struct muster__vertical_blas {
    __typeof__(cblas_daxpy) *daxpy;
    __typeof__(cblas_ddot) *ddot;
    __typeof__(cblas_dgemm) *dgemm;
    __typeof__(cblas_dgemv) *dgemv;
    __typeof__(cblas_dscal) *dscal;
    /* LAPACK's singular values; the last is the length of the text. */
    void (*dgesdd)(const char *job, const blasint *lines, const blasint *columns, double *matrix,
                   const blasint *stride, double *values, double *left, const blasint *left_stride,
                   double *right, const blasint *right_stride, double *work, const blasint *work_size,
                   blasint *iwork, blasint *info, size_t job_size);
};

/* There for who has called muster__vertical_blas_load(), and constant from then on. */
extern struct muster__vertical_blas muster__vertical_blas;

/* Loads it, once in the process. UNSUPPORTED: it is not there. Any thread. */
enum muster_status muster__vertical_blas_load(struct muster_error *error);

#endif
