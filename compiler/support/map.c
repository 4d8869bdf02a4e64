/* support/map.c: open addressing over an array of entries in insertion order. A few entries are
 * looked through one after the other: most maps stay so small. */
#include "support/map.h"

#include <string.h>

enum { FEW = 8 };

static uint32_t hash_pointer(const void *key) {
    uint64_t h = (uint64_t)(uintptr_t)key;
    h = (h ^ (h >> 32)) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

/* The slot of the key, or the empty one where it belongs. */
static uint32_t find_slot(const Map *map, const void *key) {
    uint32_t mask = map->nslots - 1, slot = hash_pointer(key) & mask;
    while (map->slots[slot] && map->entries[map->slots[slot] - 1].key != key)
        slot = (slot + 1) & mask;
    return slot;
}

static MapEntry *find(const Map *map, const void *key) {
    if (map->nslots) {
        uint32_t number = map->slots[find_slot(map, key)];
        return number ? &map->entries[number - 1] : NULL;
    }
    for (uint32_t i = 0; i < map->len; i++)
        if (map->entries[i].key == key) return &map->entries[i];
    return NULL;
}

void *map_get(const Map *map, const void *key) {
    const MapEntry *entry = find(map, key);
    return entry ? entry->value : NULL;
}

bool map_has(const Map *map, const void *key) {
    return find(map, key) != NULL;
}

static void grow(Arena *arena, Map *map) {
    uint32_t cap = map->cap ? map->cap * 2 : FEW / 2;
    MapEntry *entries = map->entries;
    if (!arena_extend(arena, entries, map->cap * sizeof *entries, cap * sizeof *entries)) {
        entries = ARENA_ARRAY(arena, MapEntry, cap);
        if (map->len) memcpy(entries, map->entries, map->len * sizeof *entries);
        arena_drop(arena, map->entries, map->cap * sizeof *entries);
        map->entries = entries;
    }
    map->cap = cap;
    if (cap <= FEW) return;
    arena_drop(arena, map->slots, map->nslots * sizeof *map->slots);
    map->nslots = cap * 2;
    map->slots = ARENA_ARRAY(arena, uint32_t, map->nslots);
    for (uint32_t i = 0; i < map->len; i++) map->slots[find_slot(map, entries[i].key)] = i + 1;
}

void map_set(Arena *arena, Map *map, const void *key, void *value) {
    MapEntry *entry = find(map, key);
    if (entry) {
        entry->value = value;
        return;
    }
    if (map->len == map->cap) grow(arena, map);
    map->entries[map->len++] = (MapEntry){key, value};
    if (map->nslots) map->slots[find_slot(map, key)] = map->len;
}

void map_clear(Map *map) {
    map->len = 0;
    if (map->nslots) memset(map->slots, 0, map->nslots * sizeof *map->slots);
}
