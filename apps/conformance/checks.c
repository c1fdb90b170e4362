/* The checks, and their report. */
#include <config.h>

#include "conformance/checks.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <muster/status.h>

static const struct {
    unsigned judged;
    const char *title;
    const char *expected;
} list[CHECKS] = {
#define CHECK_ROW(name, judged, title, expected) {judged, title, expected},
    CHECK_MAP(CHECK_ROW)
#undef CHECK_ROW
};

void checks_pass(struct checks *checks, enum check check)
{
    if (checks->of[check].verdict != FAILED)
        checks->of[check].verdict = PASSED;
}

bool checks_expect(struct checks *checks, enum check check, bool holds, const char *text, ...)
{
    if (holds) {
        checks_pass(checks, check);
        return true;
    }
    if (checks->of[check].faults++ == 0) {
        char *place = checks->of[check].text;
        va_list arguments;
        va_start(arguments, text);
        vsnprintf(place, CHECK_TEXT_SIZE, text, arguments);
        va_end(arguments);
        muster_text_harmless(place, place, CHECK_TEXT_SIZE); /* some of it came from the peer */
    }
    checks->of[check].verdict = FAILED;
    return false;
}

void checks_skip(struct checks *checks, enum check check, const char *text, ...)
{
    if (checks->of[check].verdict != NOT_REACHED)
        return;
    va_list arguments;
    va_start(arguments, text);
    vsnprintf(checks->of[check].text, CHECK_TEXT_SIZE, text, arguments);
    va_end(arguments);
    checks->of[check].verdict = NOT_APPLICABLE;
}

unsigned checks_print(const struct checks *checks)
{
    static const char *const words[] = {"n/a ", "ok  ", "FAIL", "n/a "};
    unsigned counts[4] = {0};
    for (size_t i = 0; i < CHECKS; i++) {
        enum verdict verdict = checks->of[i].verdict;
        if (!(list[i].judged & (unsigned)checks->judged))
            continue;
        counts[verdict]++;
        printf("%s  %-20s %s\n", words[verdict], list[i].title, list[i].expected);
        if (verdict == FAILED)
            printf("      wrong: %s%s\n", checks->of[i].text,
                   checks->of[i].faults > 1 ? " (and more of the kind)" : "");
        else if (verdict != PASSED)
            printf("      %s\n", verdict == NOT_REACHED ? "there was no occasion" : checks->of[i].text);
    }
    printf("%u passed, %u failed, %u not applicable\n", counts[PASSED], counts[FAILED],
           counts[NOT_APPLICABLE] + counts[NOT_REACHED]);
    return counts[FAILED];
}

static void list_of(unsigned judged, const char *heading)
{
    printf("%s\n", heading);
    for (size_t i = 0; i < CHECKS; i++) {
        if (list[i].judged & judged)
            printf("  %-20s %s\n", list[i].title, list[i].expected);
    }
}

void checks_list(void)
{
    list_of(JUDGES_FULL, "A participant:");
    list_of(JUDGES_ORIGINAL, "A participant of the original protocol:");
    list_of(JUDGES_SERVER, "A server:");
}
