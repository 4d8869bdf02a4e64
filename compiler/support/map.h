/* support/map.h: a hash map from pointers to pointers (interned names, nodes). Iteration order is
 * insertion order, so that everything printed from a map is deterministic. */
#ifndef DLC_SUPPORT_MAP_H
#define DLC_SUPPORT_MAP_H

#include "support/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct MapEntry {
    const void *key;
    void *value;
} MapEntry;

/* A zeroed Map is an empty map. Once it grows, a copy of the struct is no map any more. */
typedef struct Map {
    MapEntry *entries; /* in insertion order */
    uint32_t len, cap;
    uint32_t *slots; /* entry number + 1; 0 is empty */
    uint32_t nslots;
} Map;

/* NULL when absent. */
void *map_get(const Map *map, const void *key);
bool map_has(const Map *map, const void *key);
/* Inserts or replaces. */
void map_set(Arena *arena, Map *map, const void *key, void *value);
/* Empty again, with the memory it has. */
void map_clear(Map *map);

#endif
