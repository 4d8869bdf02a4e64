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

enum { ALIGNMENT = 8, CHUNK_BYTES = 1 << 18, LARGE = CHUNK_BYTES / 4 };

/* Memory for many objects, or for one that is large; with DLC_ARENA_MALLOC for one of any size. */
typedef struct Chunk {
    struct Chunk *older, *newer;
    bool is_shared;
} Chunk;

struct Arena {
    Chunk *newest;
    Chunk *shared; /* the one for many objects of which some is left, from `at` to `end` */
    Chunk *spare;  /* for many objects, taken back and zeroed, linked by `older` */
    char *at, *end;
    size_t used, most;
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

static void free_chunks(Chunk *chunk) {
    while (chunk) {
        Chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
}

void arena_free(Arena *arena) {
    free_chunks(arena->newest);
    free_chunks(arena->spare);
    free(arena);
}

static Chunk *make_chunk(size_t size) {
    if (size > SIZE_MAX - sizeof(Chunk)) out_of_memory(size);
    Chunk *chunk = calloc(1, sizeof(Chunk) + size);
    if (!chunk) out_of_memory(size);
    return chunk;
}

static void add_chunk(Arena *arena, Chunk *chunk, bool is_shared) {
    *chunk = (Chunk){.older = arena->newest, .is_shared = is_shared};
    if (chunk->older) chunk->older->newer = chunk;
    arena->newest = chunk;
}

static void next_shared(Arena *arena) {
    Chunk *chunk = arena->spare;
    if (chunk)
        arena->spare = chunk->older;
    else
        chunk = make_chunk(CHUNK_BYTES);
    add_chunk(arena, chunk, true);
    arena->shared = chunk;
    arena->at = (char *)(chunk + 1);
    arena->end = arena->at + CHUNK_BYTES;
}

static bool is_alone(size_t size) {
#ifdef DLC_ARENA_MALLOC
    return size <= SIZE_MAX;
#else
    return size > LARGE;
#endif
}

static size_t rounded(size_t size) {
    if (size > SIZE_MAX - ALIGNMENT) out_of_memory(size);
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void count(Arena *arena, size_t size) {
    arena->used += size;
    if (arena->used > arena->most) arena->most = arena->used;
}

void *arena_alloc(Arena *arena, size_t size) {
    count(arena, size);
    if (is_alone(size)) {
        Chunk *chunk = make_chunk(size);
        add_chunk(arena, chunk, false);
        return chunk + 1;
    }
    size = rounded(size);
    if ((size_t)(arena->end - arena->at) < size) next_shared(arena);
    void *object = arena->at;
    arena->at += size;
    return object;
}

bool arena_extend(Arena *arena, void *object, size_t size, size_t wanted) {
    if (is_alone(wanted) || !object) return false;
    size = rounded(size);
    size_t more = rounded(wanted) - size;
    if ((char *)object + size != arena->at || (size_t)(arena->end - arena->at) < more) return false;
    arena->at += more;
    count(arena, more);
    return true;
}

void arena_drop(Arena *arena, void *object, size_t size) {
    if (!object || !is_alone(size)) return;
    Chunk *chunk = (Chunk *)object - 1;
    if (chunk->newer)
        chunk->newer->older = chunk->older;
    else
        arena->newest = chunk->older;
    if (chunk->older) chunk->older->newer = chunk->newer;
    free(chunk);
    arena->used -= size;
}

ArenaMark arena_mark(const Arena *arena) {
    return (ArenaMark){arena->newest, arena->shared, arena->at, arena->used};
}

/* Zeroes what has been used of a shared chunk from there on. */
static void clear_from(const Arena *arena, Chunk *chunk, char *from) {
    char *to = chunk == arena->shared ? arena->at : (char *)(chunk + 1) + CHUNK_BYTES;
    memset(from, 0, (size_t)(to - from));
}

void arena_release(Arena *arena, ArenaMark mark) {
    while (arena->newest != mark.newest) {
        Chunk *chunk = arena->newest;
        arena->newest = chunk->older;
        if (!chunk->is_shared) {
            free(chunk);
            continue;
        }
        clear_from(arena, chunk, (char *)(chunk + 1));
        chunk->older = arena->spare;
        arena->spare = chunk;
    }
    if (arena->newest) arena->newest->newer = NULL;
    Chunk *shared = mark.shared;
    if (shared) clear_from(arena, shared, mark.at);
    arena->shared = shared;
    arena->at = mark.at;
    arena->end = shared ? (char *)(shared + 1) + CHUNK_BYTES : NULL;
    arena->used = mark.used;
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

size_t arena_most(const Arena *arena) {
    return arena->most;
}
