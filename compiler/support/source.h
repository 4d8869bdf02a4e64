/* support/source.h: the texts of a compilation and places in them.
 *
 * All sources are laid end to end, so that a place is two 32-bit byte offsets. Line and column
 * (both from 1; columns count bytes) are computed only when something is shown.
 */
#ifndef DLC_SUPPORT_SOURCE_H
#define DLC_SUPPORT_SOURCE_H

#include "support/arena.h"
#include "support/vec.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Span {
    uint32_t begin, end; /* half-open; {0, 0} is "nowhere" */
} Span;

typedef struct Source {
    const char *path; /* as shown; "<std>/dense.dl" for the library, "<repl>" for typed text */
    const char *text; /* NUL-terminated */
    uint32_t length;
    uint32_t begin; /* offset of the first byte in the common numbering; at least 1 */
    bool is_library;
} Source;

typedef struct Sources {
    Arena *arena;
    Vec(Source *) all;
    uint32_t next;
} Sources;

/* A line and the columns of a span in it. */
typedef struct Location {
    const Source *source; /* NULL for nowhere */
    uint32_t line, column;
    uint32_t end_line, end_column;
    const char *line_text; /* start of the line; not terminated there */
    uint32_t line_length;
} Location;

void sources_init(Sources *sources, Arena *arena);
/* Copies the text. */
Source *source_add(Sources *sources, const char *path, const char *text, size_t length);
/* NULL, with errno set, when the file cannot be read (a directory, too large: > 64 MiB, …). */
Source *source_read(Sources *sources, const char *path);
const Source *source_of(const Sources *sources, Span span);
Location source_locate(const Sources *sources, Span span);
Span span_join(Span a, Span b);

#endif
