/* driver/memory.c: the heap of a process that takes much in small pieces and ends soon.
 *
 * A page costs about as much when it is first touched as a hundred small allocations, and compiling
 * touches ten thousand of them. So the heap is taken from the system in one piece that may have
 * large pages, and nothing of it is given back before the end. What is not touched costs nothing.
 */
#include "driver/driver.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

void prepare_memory(void) {
#if defined(__GLIBC__) && defined(MADV_HUGEPAGE)
    enum {
        HEAP_BYTES = 512 << 20,
        LARGE_PAGE = 2 << 20,
        MORE_BYTES = 1 << 20,
        OWN_MAPPING_BYTES = 32 << 20
    };
    mallopt(M_TOP_PAD, HEAP_BYTES);
    mallopt(M_TRIM_THRESHOLD, 2 * HEAP_BYTES);
    mallopt(M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
    void *volatile first = malloc(LARGE_PAGE); /* else the compiler leaves both calls out */
    free(first);
    mallopt(M_TOP_PAD, MORE_BYTES); /* or little would be refused where there is no room for much */
    uintptr_t end = (uintptr_t)sbrk(0), begin = (uintptr_t)first;
    if (!first || end < begin || end - begin < HEAP_BYTES) return; /* it could not be had */
    /* The large page in which that piece ended has been touched: it consists of small ones. */
    begin = (begin + 2 * LARGE_PAGE) / LARGE_PAGE * LARGE_PAGE;
    madvise((void *)begin, end / LARGE_PAGE * LARGE_PAGE - begin, MADV_HUGEPAGE);
    first = malloc(begin - (uintptr_t)first); /* nothing lies before it */
#endif
}
