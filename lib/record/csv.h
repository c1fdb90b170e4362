/* The fields of a CSV file, after RFC 4180. */
#ifndef MUSTER_RECORD_CSV_H
#define MUSTER_RECORD_CSV_H

#include <stdio.h>

enum { CSV_NUMBER_SIZE = 32 };

/* The shortest text that reads as this number, with a point; "nan", "inf" and "-inf", as pandas has them. */
const char *muster__csv_number(double value, char text[CSV_NUMBER_SIZE]);

/* Writes a field, in quotes where it needs them. */
void muster__csv_put(FILE *out, const char *field);

/* Takes the next field out of a line, in place; *line is NULL behind the last one. */
char *muster__csv_field(char **line);

#endif
