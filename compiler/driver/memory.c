/* driver/memory.c: pages of a process that is large, takes much in small pieces and ends soon.
 *
 * A page costs about as much when it is first touched as a hundred small allocations, and compiling
 * touches ten thousand of them. So the heap is taken from the system in one piece that may have
 * large pages, and nothing of it is given back before the end. What is not touched costs nothing.
 *
 * With LLVM inside, the program's own pages are the other half: nearly all of its code's are
 * touched sooner or later, and its constructors go through all variables. They are had at once,
 * before these begin.
 */
#include "driver/driver.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#ifdef MADV_POPULATE_READ
#include <link.h>
#include <sys/auxv.h>
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

#if defined(DLC_HAS_LLVM_INSIDE) && defined(MADV_POPULATE_READ)
extern char __bss_start[], end[]; /* of the linker */

static void populate(uintptr_t begin, uintptr_t after, int how) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    begin = begin / page * page;
    madvise((void *)begin, after - begin, how); /* a kernel that cannot does it later */
}

/* The program is where the linker put it. */
static void populate_code(void) {
    const ElfW(Phdr) *segments = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    for (unsigned long i = 0; segments && i < getauxval(AT_PHNUM); i++)
        if (segments[i].p_type == PT_LOAD && segments[i].p_flags & PF_X)
            populate(segments[i].p_vaddr, segments[i].p_vaddr + segments[i].p_memsz,
                     MADV_POPULATE_READ);
}

static void populate_program(void) {
    populate_code();
    populate((uintptr_t)__bss_start, (uintptr_t)end, MADV_POPULATE_WRITE);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const before_constructors)(void) = populate_program;
#endif
