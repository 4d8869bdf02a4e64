/* support/arena.h: memory that lives as long as a compilation.
 *
 * What is allocated here goes with the arena as a whole, or, of a scratch arena, back to a mark.
 * Allocation never returns NULL; when the machine has no memory left the process ends with a
 * message. Memory is zeroed and aligned to 8 bytes: enough for all but vectors and long doubles.
 */
#ifndef DLC_SUPPORT_ARENA_H
#define DLC_SUPPORT_ARENA_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *arena);
void *arena_alloc(Arena *arena, size_t size);
void *arena_copy(Arena *arena, const void *data, size_t size);
char *arena_strdup(Arena *arena, const char *text);
char *arena_strndup(Arena *arena, const char *text, size_t length);
char *arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Makes the object longer where it lies; false if something lies behind it. */
bool arena_extend(Arena *arena, void *object, size_t size, size_t wanted);
/* Nobody will look at the object again: a large one's memory is given back at once, as that of a
 * table which has grown. */
void arena_drop(Arena *arena, void *object, size_t size);
/* Bytes handed out and not taken back, now and when they were most. */
size_t arena_used(const Arena *arena);
size_t arena_most(const Arena *arena);

/* What a pass needs only while it runs:
 *
 *     ArenaMark mark = arena_mark(ctx->scratch);
 *     ... vec_push(ctx->scratch, &list, e) ...
 *     arena_release(ctx->scratch, mark);
 *
 * Release takes back all that has been allocated since the mark. Marks nest: what is older than the
 * last mark does not grow until that is released. */
typedef struct ArenaMark {
    void *newest, *shared;
    char *at;
    size_t used;
} ArenaMark;

ArenaMark arena_mark(const Arena *arena);
void arena_release(Arena *arena, ArenaMark mark);

#define ARENA_NEW(arena, Type) ((Type *)arena_alloc((arena), sizeof(Type)))
#define ARENA_ARRAY(arena, Type, count)                                                            \
    ((Type *)arena_alloc((arena), (size_t)(count) * sizeof(Type)))

#endif
