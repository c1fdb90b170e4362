/* A stand-in for Criterion: the part of its interface that our tests use, in one process and one thread.
   ThreadSanitizer and valgrind run the tests this way; Criterion's own child processes do not start under the
   one and hide what they do from the other. The first failure ends the program: what a broken test leaves
   behind would only make the next ones fail too. See `./configure --with-plain-tests`. */
#ifndef MUSTER_TESTS_PLAIN_CRITERION_H
#define MUSTER_TESTS_PLAIN_CRITERION_H

#pragma GCC system_header /* macros that leave their message out are pedantic, as Criterion's are */

#include <fnmatch.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct plain_test {
    const char *suite, *name;
    void (*run)(void), (*init)(void), (*fini)(void);
    double timeout; /* seconds; 0: the default */
    struct plain_test *next;
};

/* Weak, because a program of several files includes this header several times. */
__attribute__((weak)) struct plain_test *plain_first, **plain_last = &plain_first;
__attribute__((weak)) const struct plain_test *plain_running;
__attribute__((weak)) unsigned plain_passed;

#define Test(suite_, name_, ...)                                                             \
    static void plain_run_##suite_##_##name_(void);                                          \
    static struct plain_test plain_test_##suite_##_##name_ = {                               \
        .suite = #suite_, .name = #name_, .run = plain_run_##suite_##_##name_, __VA_ARGS__}; \
    __attribute__((constructor)) static void plain_register_##suite_##_##name_(void)         \
    {                                                                                        \
        *plain_last = &plain_test_##suite_##_##name_;                                        \
        plain_last = &plain_test_##suite_##_##name_.next;                                    \
    }                                                                                        \
    static void plain_run_##suite_##_##name_(void)

static inline void plain_synthesis(unsigned failed)
{
    printf("[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: 0\n", plain_passed + failed,
           plain_passed, failed);
    fflush(NULL);
}

/* May run on any thread. */
__attribute__((noreturn, format(printf, 4, 5))) static inline void plain_fail(const char *file, int line,
                                                                              const char *condition,
                                                                              const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("[FAIL] %s::%s: %s:%d: %s ", plain_running->suite, plain_running->name, file, line, condition);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    plain_synthesis(1);
    _exit(1);
}

static inline void plain_hung(int number)
{
    static const char text[] = "[FAIL] the test that began last hangs\n";
    (void)number;
    if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
        _exit(2);
    abort();
}

#define plain_check(condition, text, ...) \
    ((condition) ? (void)0 : plain_fail(__FILE__, __LINE__, text, "" __VA_ARGS__))

#define cr_assert(condition, ...)  plain_check(condition, #condition, __VA_ARGS__)
#define cr_assert_not(value, ...)  plain_check(!(value), "!(" #value ")", __VA_ARGS__)
#define cr_assert_eq(a, b, ...)    plain_check((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)   plain_check((a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)    plain_check((a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)   plain_check((a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)    plain_check((a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)   plain_check((a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(p, ...)     plain_check(!(p), "!" #p, __VA_ARGS__)
#define cr_assert_not_null(p, ...) plain_check((p) != NULL, #p " != NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) \
    plain_check(strcmp(a, b) == 0, #a " and " #b " are the same string", __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) \
    plain_check(strcmp(a, b) != 0, #a " and " #b " are different strings", __VA_ARGS__)
#define cr_assert_float_eq(a, b, epsilon, ...) \
    plain_check(fabs((double)(a) - (double)(b)) <= (double)(epsilon), #a " is near " #b, __VA_ARGS__)
#define cr_assert_fail(...) plain_fail(__FILE__, __LINE__, "failed", "" __VA_ARGS__)

/* Tools make everything slower: MUSTER_TEST_SLOWNESS multiplies the limits. */
static inline unsigned plain_limit(const struct plain_test *test)
{
    const char *slowness = getenv("MUSTER_TEST_SLOWNESS");
    return (unsigned)((test->timeout > 0 ? test->timeout : 30) * (slowness ? atof(slowness) : 1)) + 1;
}

static inline void plain_run(const struct plain_test *test)
{
    printf("[RUN ] %s::%s\n", test->suite, test->name);
    fflush(stdout);
    plain_running = test;
    alarm(plain_limit(test));
    if (test->init)
        test->init();
    test->run();
    if (test->fini)
        test->fini();
    alarm(0);
    plain_passed++;
}

/* Usage: program [--filter SUITE/NAME-PATTERN]; other arguments of Criterion's are ignored. */
__attribute__((weak)) int main(int argc, char **argv)
{
    const char *pattern = "*";
    char path[512];
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--filter") == 0)
            pattern = argv[i + 1];
    }
    signal(SIGALRM, plain_hung);
    for (const struct plain_test *test = plain_first; test; test = test->next) {
        snprintf(path, sizeof(path), "%s/%s", test->suite, test->name);
        if (fnmatch(pattern, path, 0) == 0)
            plain_run(test);
    }
    plain_synthesis(0);
    return 0;
}

#endif
