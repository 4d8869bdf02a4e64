/* runtime/pool.c: allocations that end together, and sizes that cannot overflow.
 *
 * invariant: what is handed out is zero, aligned to 64 bytes and lives until pool_free.
 */
#include "runtime/private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, LARGE_PAGE = 2 << 20 };

typedef struct PoolItem {
    struct PoolItem *next;
    void *memory;
} PoolItem;

int64_t size_product(int64_t a, int64_t b) {
    if (a < 0 || b < 0) return -1;
    return b && a > INT64_MAX / b ? -1 : a * b;
}

void *pool_adopt(Pool *pool, void *memory) {
    PoolItem *item = memory ? malloc(sizeof *item) : NULL;
    if (!item) {
        free(memory);
        return NULL;
    }
    *item = (PoolItem){pool->items, memory};
    pool->items = item;
    return memory;
}

/* Touching a page for the first time costs as much as computing with all of it; a large one costs
 * little more, and finding it again in a step less. */
static void want_large_pages(void *memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
    madvise(memory, bytes / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

void *pool_take(Pool *pool, int64_t count, size_t size) {
    int64_t bytes = size_product(count, (int64_t)size);
    if (bytes < 0 || (uint64_t)bytes > SIZE_MAX / 2 - LARGE_PAGE) return NULL;
    size_t alignment = bytes < LARGE_PAGE ? ALIGNMENT : LARGE_PAGE;
    /* calloc, not aligned_alloc: untouched pages of large arrays then cost nothing. */
    unsigned char *memory = pool_adopt(pool, calloc(1, (size_t)bytes + alignment));
    if (!memory) return NULL;
    memory += (alignment - (uintptr_t)memory % alignment) % alignment;
    if (alignment == LARGE_PAGE) want_large_pages(memory, (size_t)bytes);
    return memory;
}

char *pool_text(Pool *pool, const char *text) {
    size_t length = strlen(text) + 1;
    char *copy = pool_take(pool, (int64_t)length, 1);
    if (copy) memcpy(copy, text, length);
    return copy;
}

char *pool_join(Pool *pool, const char *folder, const char *name) {
    size_t length = strlen(folder);
    bool bare = length == 0 || name[0] == '/';
    char *path = pool_take(pool, (int64_t)(length + strlen(name) + 2), 1);
    if (!path) return NULL;
    if (!bare) {
        memcpy(path, folder, length);
        path[length] = '/';
    }
    strcpy(path + (bare ? 0 : length + 1), name);
    return path;
}

void pool_free(Pool *pool) {
    while (pool->items) {
        PoolItem *item = pool->items;
        pool->items = item->next;
        free(item->memory);
        free(item);
    }
}
