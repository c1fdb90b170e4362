/* Lines are counted, and go up by as many when they are drawn again: so none of them may be wrapped. */
#include <config.h>

#include "terminal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_DEFAULT = 80, ROWS_DEFAULT = 24 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* one draws or prints at a time */
/* Guarded by the lock. */
static char block[TERMINAL_BLOCK_SIZE];
static size_t drawn; /* lines of the block that are on the terminal */

bool terminal_is_there(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(kind && strcmp(kind, "dumb") == 0);
}

static struct winsize get_size(void)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        size = (struct winsize){.ws_col = COLUMNS_DEFAULT, .ws_row = ROWS_DEFAULT};
    return size;
}

/* The last column stays free: some terminals wrap a line that fills it. */
size_t terminal_columns(void)
{
    size_t columns = get_size().ws_col;
    return columns > 1 ? columns - 1 : 1;
}

/* The bytes of `text` up to the first character that does not fit into `columns`, or is a line's end. */
static size_t fit(const char *text, size_t columns)
{
    size_t i = 0, used = 0;
    while (text[i] != '\0' && text[i] != '\n') {
        bool ascii = (unsigned char)text[i] < 0x80;
        size_t end = i + 1;
        while (((unsigned char)text[end] & 0xc0) == 0x80)
            end++;
        used += ascii ? 1 : 2;
        if (used > columns)
            break;
        i = end;
    }
    return i;
}

size_t terminal_width(const char *text)
{
    size_t width = 0;
    for (const char *c = text; *c != '\0'; c++)
        width += (unsigned char)*c < 0x80 ? 1 : ((unsigned char)*c & 0xc0) == 0x80 ? 0 : 2;
    return width;
}

static void go_up(void)
{
    if (drawn > 0)
        printf("\r\033[%zuA", drawn);
    drawn = 0;
}

/* With the lock held. */
static void draw(void)
{
    size_t columns = terminal_columns(), rows = get_size().ws_row;
    go_up();
    for (const char *line = block; *line != '\0' && drawn + 1 < rows; drawn++) {
        printf("\r%.*s\033[K\n", (int)fit(line, columns), line);
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    fputs("\r\033[J", stdout);
    fflush(stdout);
}

void terminal_draw(const char *text)
{
    if (!terminal_is_there())
        return;
    pthread_mutex_lock(&lock);
    snprintf(block, sizeof(block), "%s", text);
    draw();
    pthread_mutex_unlock(&lock);
}

void terminal_keep(void)
{
    pthread_mutex_lock(&lock);
    block[0] = '\0';
    drawn = 0;
    pthread_mutex_unlock(&lock);
}

void terminal_print(FILE *to, const char *line)
{
    pthread_mutex_lock(&lock);
    bool above = drawn > 0 && isatty(fileno(to));
    if (above) {
        go_up();
        fputs("\033[J", stdout);
        fflush(stdout);
    }
    fprintf(to, "%s\n", line);
    fflush(to);
    if (above)
        draw();
    pthread_mutex_unlock(&lock);
}
