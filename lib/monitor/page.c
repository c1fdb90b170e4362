/* The files of the live page. */
#include <config.h>

#include "monitor/page.h"
#include "page_bytes.h"

const struct page_file muster__page_files[] = {
    {"/", "text/html; charset=utf-8", page_html, &page_html_size, false},
    {"/page.css", "text/css; charset=utf-8", page_css, &page_css_size, false},
    {"/groups.js", "text/javascript; charset=utf-8", groups_js, &groups_js_size, false},
    {"/page.js", "text/javascript; charset=utf-8", page_js, &page_js_size, false},
    {"/chart.js", "text/javascript; charset=utf-8", chart_js, &chart_js_size, true},
    {NULL, NULL, NULL, NULL, false},
};
