/* What was measured, as a table and as JSON. */
#include <config.h>

#include "figures.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIGURES_MAX 256

enum bound_kind { UNBOUND, AT_MOST, AT_LEAST };

struct figure {
    char key[64];
    char text[128]; /* empty: a number */
    double number;
    enum bound_kind kind;
    double bound;
};

static struct figure figures[FIGURES_MAX];
static size_t figure_count;

static struct figure *add(const char *key)
{
    if (figure_count == FIGURES_MAX) {
        fputs("bench: too many figures\n", stderr);
        abort();
    }
    struct figure *figure = &figures[figure_count++];
    snprintf(figure->key, sizeof(figure->key), "%s", key);
    return figure;
}

void figures_number(const char *key, double value)
{
    add(key)->number = value;
}

static void add_bound(const char *key, double value, enum bound_kind kind, double bound)
{
    struct figure *figure = add(key);
    figure->number = value;
    figure->kind = kind;
    figure->bound = bound;
}

void figures_at_most(const char *key, double value, double bound)
{
    add_bound(key, value, AT_MOST, bound);
}

void figures_at_least(const char *key, double value, double bound)
{
    add_bound(key, value, AT_LEAST, bound);
}

/* What would have to be escaped in JSON becomes a space. */
void figures_text(const char *key, const char *value)
{
    struct figure *figure = add(key);
    snprintf(figure->text, sizeof(figure->text), "%s", *value != '\0' ? value : "?");
    for (char *character = figure->text; *character != '\0'; character++) {
        if (*character == '"' || *character == '\\' || (unsigned char)*character < ' ')
            *character = ' ';
    }
}

static void print_bound(const struct figure *figure)
{
    bool most = figure->kind == AT_MOST;
    bool met = most ? figure->number <= figure->bound : figure->number >= figure->bound;
    const char *verdict = met ? "within" : most ? "OVER" : "UNDER";
    printf("%-36s %10.3f  %s %.2f\n", figure->key, figure->number, verdict, figure->bound);
}

void figures_print(void)
{
    for (size_t i = 0; i < figure_count; i++) {
        if (figures[i].kind != UNBOUND)
            print_bound(&figures[i]);
    }
    putchar('\n');
    for (size_t i = 0; i < figure_count; i++) {
        if (figures[i].text[0] != '\0')
            printf("%-36s %s\n", figures[i].key, figures[i].text);
        else if (figures[i].kind == UNBOUND)
            printf("%-36s %10.6g\n", figures[i].key, figures[i].number);
    }
}

bool figures_write(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    fputc('{', file);
    for (size_t i = 0; i < figure_count; i++) {
        fprintf(file, "%s\n  \"%s\": ", i == 0 ? "" : ",", figures[i].key);
        if (figures[i].text[0] != '\0')
            fprintf(file, "\"%s\"", figures[i].text);
        else
            fprintf(file, "%.9g", figures[i].number);
    }
    fputs("\n}\n", file);
    bool written = ferror(file) == 0;
    return fclose(file) == 0 && written;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

double quantile(double *values, size_t count, double q)
{
    qsort(values, count, sizeof(*values), compare);
    double position = q * (double)(count - 1);
    size_t below = (size_t)position;
    size_t above = below + 1 < count ? below + 1 : below;
    return values[below] + (values[above] - values[below]) * (position - (double)below);
}
