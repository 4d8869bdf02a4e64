/* support/arena.c: bump allocation in chunks. Under AddressSanitizer, or with DLC_ARENA_MALLOC,
 * each object is a malloc of its own, so that overruns are seen. */
#include "support/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DLC_ARENA_MALLOC 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(DLC_ARENA_MALLOC)
#define DLC_ARENA_MALLOC 1
#endif

enum { ALIGNMENT = 16, CHUNK_BYTES = 1 << 18 };

/* A chunk, or, with DLC_ARENA_MALLOC, one object. The header keeps what follows aligned. */
typedef struct Chunk {
    _Alignas(ALIGNMENT) struct Chunk *next;
} Chunk;

struct Arena {
    Chunk *chunks;
    char *at, *end;
    size_t used;
};

static _Noreturn void out_of_memory(size_t size) {
    fprintf(stderr, "dlc: out of memory (%zu more bytes were wanted)\n", size);
    exit(1);
}

Arena *arena_new(void) {
    Arena *arena = calloc(1, sizeof *arena);
    if (!arena) out_of_memory(sizeof *arena);
    return arena;
}

void arena_free(Arena *arena) {
    for (Chunk *chunk = arena->chunks; chunk;) {
        Chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    free(arena);
}

static char *new_chunk(Arena *arena, size_t size) {
    if (size > SIZE_MAX - sizeof(Chunk)) out_of_memory(size);
    Chunk *chunk = calloc(1, sizeof(Chunk) + size);
    if (!chunk) out_of_memory(size);
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return (char *)(chunk + 1);
}

void *arena_alloc(Arena *arena, size_t size) {
    arena->used += size;
#ifdef DLC_ARENA_MALLOC
    return new_chunk(arena, size);
#else
    if (size > SIZE_MAX - ALIGNMENT) out_of_memory(size);
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (size > CHUNK_BYTES / 4) return new_chunk(arena, size);
    if ((size_t)(arena->end - arena->at) < size) {
        arena->at = new_chunk(arena, CHUNK_BYTES);
        arena->end = arena->at + CHUNK_BYTES;
    }
    void *object = arena->at;
    arena->at += size;
    return object;
#endif
}

void *arena_copy(Arena *arena, const void *data, size_t size) {
    void *copy = arena_alloc(arena, size);
    if (size) memcpy(copy, data, size);
    return copy;
}

char *arena_strndup(Arena *arena, const char *text, size_t length) {
    char *copy = arena_alloc(arena, length + 1);
    if (length) memcpy(copy, text, length);
    return copy;
}

char *arena_strdup(Arena *arena, const char *text) {
    return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(Arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = arena_alloc(arena, (size_t)(length < 0 ? 0 : length) + 1);
    if (length > 0) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

size_t arena_used(const Arena *arena) {
    return arena->used;
}
