/* runtime/texts.c: the distinct texts of a column, numbered.
 *
 * in: texts in the order of the file     out: numbers; after texts_order in sorted order
 * A hash table with open addressing, at most half full.
 */
#include "runtime/private.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a. */
static uint64_t hash_text(const char *text) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

/* The slot that holds the text, or the free one where it belongs. */
static int64_t slot_of(const Texts *texts, const char *text) {
    uint64_t mask = (uint64_t)texts->nslots - 1, slot = hash_text(text) & mask;
    while (texts->slots[slot] && strcmp(texts->items[texts->slots[slot] - 1], text) != 0)
        slot = (slot + 1) & mask;
    return (int64_t)slot;
}

static bool fill_slots(Texts *texts) {
    memset(texts->slots, 0, (size_t)texts->nslots * sizeof *texts->slots);
    for (int64_t i = 0; i < texts->count; i++)
        texts->slots[slot_of(texts, texts->items[i])] = i + 1;
    return true;
}

static bool grow(Texts *texts) {
    int64_t capacity = texts->capacity ? texts->capacity * 4 : 16;
    const char **items = pool_take(texts->pool, capacity, sizeof *items);
    int64_t *slots = pool_take(texts->pool, capacity * 2, sizeof *slots);
    if (!items || !slots) return false;
    if (texts->count) memcpy(items, texts->items, (size_t)texts->count * sizeof *items);
    texts->items = items;
    texts->slots = slots;
    texts->capacity = capacity;
    texts->nslots = capacity * 2;
    return fill_slots(texts);
}

int64_t texts_find(const Texts *texts, const char *text) {
    return texts->count ? texts->slots[slot_of(texts, text)] - 1 : -1;
}

int64_t texts_add(Texts *texts, const char *text) {
    int64_t found = texts_find(texts, text);
    if (found >= 0) return found;
    if (texts->count == texts->capacity && !grow(texts)) return -1;
    texts->items[texts->count++] = text;
    texts->slots[slot_of(texts, text)] = texts->count;
    return texts->count - 1;
}

static int compare_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_values(const void *a, const void *b) {
    long long x = strtoll(*(const char *const *)a, NULL, 10);
    long long y = strtoll(*(const char *const *)b, NULL, 10);
    return x < y ? -1 : x > y;
}

bool texts_order(Texts *texts, bool by_value) {
    if (texts->count == 0) return true;
    qsort(texts->items, (size_t)texts->count, sizeof *texts->items,
          by_value ? compare_values : compare_bytes);
    return fill_slots(texts);
}
