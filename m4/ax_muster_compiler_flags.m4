# AX_MUSTER_COMPILER_FLAGS: warnings, hidden visibility and hardening, each only where the compiler knows it.
AC_DEFUN([AX_MUSTER_COMPILER_FLAGS], [
    m4_foreach_w([flag], [-std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes
                          -Wmissing-prototypes -Wvla -fvisibility=hidden -fstack-protector-strong],
        [AX_MUSTER_TRY_FLAG([MUSTER_CFLAGS], flag)])
    AX_MUSTER_TRY_LINK_FLAG([MUSTER_LDFLAGS], [-Wl,-Bsymbolic-functions])
    AX_MUSTER_TRY_LINK_FLAG([MUSTER_LDFLAGS], [-Wl,-z,relro,-z,now])
    AC_SUBST([MUSTER_CFLAGS])
    AC_SUBST([MUSTER_LDFLAGS])
])

# AX_MUSTER_SMALL: what nothing calls is left out, function by function. What is called is there.
AC_DEFUN([AX_MUSTER_SMALL], [
    m4_foreach_w([flag], [-ffunction-sections -fdata-sections], [AX_MUSTER_TRY_FLAG([SMALL_CFLAGS], flag)])
    AX_MUSTER_TRY_LINK_FLAG([MUSTER_LDFLAGS], [-Wl,--gc-sections])
    AX_MUSTER_TRY_LINK_FLAG([MUSTER_LDFLAGS], [-Wl,-z,defs])
    AC_SUBST([SMALL_CFLAGS])
])

AC_DEFUN([AX_MUSTER_TRY_FLAG], [
    AC_MSG_CHECKING([whether $CC takes $2])
    muster_saved=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [AC_MSG_RESULT([yes]); $1="$$1 $2"], [AC_MSG_RESULT([no])])
    CFLAGS=$muster_saved
])

AC_DEFUN([AX_MUSTER_TRY_LINK_FLAG], [
    AC_MSG_CHECKING([whether the linker takes $2])
    muster_saved=$LDFLAGS
    LDFLAGS="$LDFLAGS $2"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [AC_MSG_RESULT([yes]); $1="$$1 $2"], [AC_MSG_RESULT([no])])
    LDFLAGS=$muster_saved
])

# AX_MUSTER_ATOMIC: where the processor has no atomic operations on 64 bits, a library of the compiler's does them.
AC_DEFUN([AX_MUSTER_ATOMIC], [
    m4_define([muster_atomic], [AC_LANG_PROGRAM([@%:@include <stdatomic.h>
@%:@include <stdint.h>
static _Atomic uint64_t number;], [return (int)atomic_fetch_add(&number, 1);])])
    AC_MSG_CHECKING([what atomic operations on 64 bits take])
    muster_saved=$LIBS
    AC_LINK_IFELSE([muster_atomic], [AC_MSG_RESULT([nothing])],
        [LIBS="$LIBS -latomic"
         AC_LINK_IFELSE([muster_atomic], [ATOMIC_LIBS=-latomic; AC_MSG_RESULT([-latomic])],
            [AC_MSG_ERROR([the compiler has no atomic operations on 64 bits, and no libatomic])])])
    LIBS=$muster_saved
    AC_SUBST([ATOMIC_LIBS])
])

# AX_MUSTER_TIME: a time_t of 32 bits ends in 2038, which certificates of today outlive. glibc has one of 64 bits beside it.
AC_DEFUN([AX_MUSTER_TIME], [
    AC_MSG_CHECKING([whether time_t goes beyond 2038])
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([@%:@include <time.h>], [switch (0) { case 0: case sizeof(time_t) >= 8: ; }])],
        [AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no])
         AC_DEFINE([_FILE_OFFSET_BITS], [64], [Files beyond 2 GiB.])
         AC_DEFINE([_TIME_BITS], [64], [Times beyond 2038.])])
])

# AX_MUSTER_NGHTTP2: two limits on what a peer may cost came with nghttp2 1.57 and 1.61, and to older ones as patches.
AC_DEFUN([AX_MUSTER_NGHTTP2], [
    muster_saved=$LIBS
    LIBS="$HTTP2_LIBS $LIBS"
    AC_CHECK_FUNCS([nghttp2_option_set_max_continuations nghttp2_option_set_stream_reset_rate_limit], [],
        [AS_IF([test "x$enable_participant_only" = xno],
            [AC_MSG_ERROR([nghttp2 does not bound what strangers cost a server: take 1.61 or later, or Debian's 1.52])])])
    LIBS=$muster_saved
])
