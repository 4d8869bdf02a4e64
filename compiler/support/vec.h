/* support/vec.h: growable arrays in an arena.
 *
 *     Vec(int) numbers = {0};
 *     vec_push(arena, &numbers, 7);
 *     for (uint32_t i = 0; i < numbers.len; i++) use(numbers.at[i]);
 *
 * A pointer into `at` is valid until the next push, and so is a copy of the struct.
 */
#ifndef DLC_SUPPORT_VEC_H
#define DLC_SUPPORT_VEC_H

#include "support/arena.h"

#include <stdint.h>
#include <string.h>

#define Vec(T)                                                                                     \
    struct {                                                                                       \
        T *at;                                                                                     \
        uint32_t len, cap;                                                                         \
    }

static inline void *vec_grown(Arena *arena, void *at, size_t size, uint32_t len, uint32_t *cap) {
    uint32_t wanted = *cap ? *cap * 2 : 4;
    if (arena_extend(arena, at, size * *cap, size * wanted)) {
        *cap = wanted;
        return at;
    }
    void *grown = arena_alloc(arena, size * wanted);
    if (len) memcpy(grown, at, size * len);
    arena_drop(arena, at, size * *cap);
    *cap = wanted;
    return grown;
}

#define vec_push(arena, v, value)                                                                  \
    do {                                                                                           \
        if ((v)->len == (v)->cap)                                                                  \
            (v)->at = vec_grown((arena), (v)->at, sizeof *(v)->at, (v)->len, &(v)->cap);           \
        (v)->at[(v)->len++] = (value);                                                             \
    } while (0)

#endif
