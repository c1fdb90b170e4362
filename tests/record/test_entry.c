/* Entries: what becomes of names and texts that others wrote. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include <muster/record.h>

#include "record/entry.h"

static void expect(enum entry_kind kind, const char *name, const char *text, const char *shown_name,
                   const char *shown_text)
{
    struct entry *entry = muster__entry_new(kind, 1, name, 0, text, NULL);
    cr_assert_str_eq(entry->name, shown_name, "%s", entry->name);
    cr_assert_str_eq(entry->text, shown_text, "%s", entry->text);
    muster__entry_free(entry);
}

Test(entry, names_and_texts_are_harmless)
{
    expect(ENTRY_TEXT, NULL, NULL, "unnamed", "");
    expect(ENTRY_TEXT, "", "", "unnamed", "");
    expect(ENTRY_TEXT, "a\nb", "a\nb\n\n\tc\r\nd", "a?b", "a\nb\n\n\tc\nd");
    expect(ENTRY_TEXT, "\xff", "\xff\n\x1b[31m", "?", "?\n?[31m");
    expect(ENTRY_SETTING, "x",
           "\xe2\x80\xa8\nb\xe2\x80\xae"
           "c",
           "x", "?\nb?c");
    expect(ENTRY_FILE, "x", "/a\n\xff", "x", "/a\n\xff");
}

Test(entry, names_and_texts_are_cut)
{
    char *text = malloc(2 * MUSTER_RECORD_TEXT_MAX);
    memset(text, 'x', 2 * MUSTER_RECORD_TEXT_MAX);
    text[2 * MUSTER_RECORD_TEXT_MAX - 1] = '\0';
    struct entry *entry = muster__entry_new(ENTRY_TEXT, 1, text, 0, text, NULL);
    cr_assert_eq(strlen(entry->name), MUSTER_RECORD_NAME_MAX);
    cr_assert_eq(strlen(entry->text), MUSTER_RECORD_TEXT_MAX);
    muster__entry_free(entry);
    entry = muster__entry_new(ENTRY_FILE, 1, "x", 0, text, NULL);
    cr_assert_eq(strlen(entry->text), MUSTER_RECORD_TEXT_MAX);
    muster__entry_free(entry);
    free(text);
}

Test(entry, times)
{
    char text[TIME_TEXT_SIZE];
    cr_assert_str_eq(muster__time_text(0, text), "1970-01-01T00:00:00.000Z");
    cr_assert_str_eq(muster__time_text(1767225599999, text), "2025-12-31T23:59:59.999Z");
}
