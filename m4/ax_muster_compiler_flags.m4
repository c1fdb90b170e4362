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
