/* support/source.c: sources end to end; lines are counted only when something is shown. */
#define _POSIX_C_SOURCE 200809L
#include "support/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_SOURCE_BYTES = 64 << 20 };

void sources_init(Sources *sources, Arena *arena) {
    *sources = (Sources){.arena = arena, .next = 1};
}

Source *source_add(Sources *sources, const char *path, const char *text, size_t length) {
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* a byte order mark is no text */
        text += 3;
        length -= 3;
    }
    Source *source = ARENA_NEW(sources->arena, Source);
    source->path = arena_strdup(sources->arena, path);
    source->text = arena_strndup(sources->arena, text, length);
    source->length = (uint32_t)length;
    source->begin = sources->next;
    /* One more, so that the end of a file is not the begin of the next. */
    sources->next += (uint32_t)length + 1;
    vec_push(sources->arena, &sources->all, source);
    return source;
}

static Source *read_open(Sources *sources, const char *path, FILE *file) {
    struct stat info;
    if (fstat(fileno(file), &info) != 0) return NULL;
    if (S_ISDIR(info.st_mode)) return errno = EISDIR, NULL;
    size_t length = 0, room = 1 << 16;
    char *text = malloc(room);
    while (text) {
        length += fread(text + length, 1, room - length, file);
        if (length < room) break;
        if (room >= MAX_SOURCE_BYTES) {
            free(text);
            return errno = EFBIG, NULL;
        }
        char *grown = realloc(text, room *= 2);
        if (!grown) free(text);
        text = grown;
    }
    bool good = text && !ferror(file) && sources->next < UINT32_MAX - length - 1;
    if (text && !good && !ferror(file)) errno = EFBIG;
    Source *source = good ? source_add(sources, path, text, length) : NULL;
    int saved = errno;
    free(text);
    errno = saved;
    return source;
}

Source *source_read(Sources *sources, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    errno = 0;
    Source *source = read_open(sources, path, file);
    int saved = errno;
    fclose(file);
    errno = saved;
    return source;
}

const Source *source_of(const Sources *sources, Span span) {
    uint32_t low = 0, high = sources->all.len;
    if (!span.begin) return NULL;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const Source *source = sources->all.at[middle];
        if (span.begin < source->begin)
            high = middle;
        else if (span.begin > source->begin + source->length)
            low = middle + 1;
        else
            return source;
    }
    return NULL;
}

Location source_locate(const Sources *sources, Span span) {
    const Source *source = source_of(sources, span);
    if (!source) return (Location){0};
    Location at = {.source = source, .line = 1};
    uint32_t begin = span.begin - source->begin, line_begin = 0;
    uint32_t end = span.end > span.begin ? span.end - source->begin : begin;
    if (end > source->length) end = source->length;
    for (uint32_t i = 0; i < begin; i++)
        if (source->text[i] == '\n') at.line++, line_begin = i + 1;
    at.column = begin - line_begin + 1;
    at.line_text = source->text + line_begin;
    while (line_begin + at.line_length < source->length && at.line_text[at.line_length] != '\n')
        at.line_length++;
    if (at.line_length && at.line_text[at.line_length - 1] == '\r') at.line_length--;
    at.end_line = at.line;
    for (uint32_t i = begin; i < end; i++)
        if (source->text[i] == '\n') at.end_line++, line_begin = i + 1;
    at.end_column = end - line_begin + 1;
    return at;
}

Span span_join(Span a, Span b) {
    if (!a.begin) return b;
    if (!b.begin) return a;
    return (Span){a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end};
}
