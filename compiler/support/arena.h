/* support/arena.h: memory that lives as long as a compilation.
 *
 * Nothing allocated here is freed on its own: the arena goes as a whole. Allocation never
 * returns NULL; when the machine has no memory left the process ends with a message.
 * Memory is zeroed and aligned to 16 bytes.
 */
#ifndef DLC_SUPPORT_ARENA_H
#define DLC_SUPPORT_ARENA_H

#include <stddef.h>

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *arena);
void *arena_alloc(Arena *arena, size_t size);
void *arena_copy(Arena *arena, const void *data, size_t size);
char *arena_strdup(Arena *arena, const char *text);
char *arena_strndup(Arena *arena, const char *text, size_t length);
char *arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Bytes handed out so far (for --stats). */
size_t arena_used(const Arena *arena);

#define ARENA_NEW(arena, Type) ((Type *)arena_alloc((arena), sizeof(Type)))
#define ARENA_ARRAY(arena, Type, count)                                                            \
    ((Type *)arena_alloc((arena), (size_t)(count) * sizeof(Type)))

#endif
