/* target/cache.c: machine code of earlier runs.
 *
 * in:   a folder, a key: all that the code depends on      out: the object files made of it before
 *
 * A file of the folder holds the whole key beside the code, and it is compared whole: that two keys
 * have one name costs time, and never gives another model's code. Files are written aside and
 * renamed; one that is damaged is as good as none. When the folder grows too large, what was not
 * used for longest goes. Nothing here fails: without a cache, everything is compiled.
 *
 *     Head, bytes of each object (u64), key, objects
 */
#include "target/private.h"

#include <llvm-c/BitWriter.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of all files together; a whole suite of models takes some MiB. */
#define MOST_BYTES ((uint64_t)256 << 20)
static const char magic[8] = {'d', 'l', 'c', 'o', 'b', 'j', 's', '1'};

typedef struct Head {
    char magic[8];
    uint64_t sum; /* of all that follows the head */
    uint64_t key_bytes, nobjects;
} Head;

/* FNV-1a (Fowler, Noll, Vo) over words of 8 bytes: for names, and against damage; not against
 * malice, for which the folder belongs to its user alone. */
static uint64_t sum_of(const void *data, size_t size) {
    const unsigned char *p = data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (; size; size -= size < 8 ? size : 8, p += 8) {
        uint64_t word = size;
        memcpy(&word, p, size < 8 ? size : 8);
        hash = (hash ^ word) * 0x100000001b3u;
        hash ^= hash >> 32;
    }
    return hash;
}

static const char *path_of(Ctx *ctx, const char *folder, const CacheKey *key) {
    return arena_printf(ctx->arena, "%s/%016llx.objects", folder,
                        (unsigned long long)sum_of(key->data, key->size));
}

/* ---- keys ------------------------------------------------------------------------------------ */

CacheKey cache_key(Ctx *ctx, LLVMModuleRef module, const Machine *machine) {
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    const char *with = arena_printf(
        ctx->arena, "%u.%u.%u %s %s %s %s %d %s\n", major, minor, patch, machine->triple,
        machine->cpu, machine->features, target_passes, (int)TARGET_EFFORT,
        TARGET_NO_SCHEDULER TARGET_NO_LATE_SCHEDULER TARGET_LOOPS_AS_THEY_ARE);
    LLVMMemoryBufferRef bitcode = LLVMWriteBitcodeToMemoryBuffer(module);
    size_t nwith = strlen(with), n = LLVMGetBufferSize(bitcode);
    char *data = arena_alloc(ctx->arena, nwith + n);
    memcpy(data, with, nwith);
    memcpy(data + nwith, LLVMGetBufferStart(bitcode), n);
    LLVMDisposeMemoryBuffer(bitcode);
    return (CacheKey){data, nwith + n};
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The objects of a file that is whole and has this key; 0: it is not. */
static uint32_t unpack(const char *data, size_t size, const CacheKey *key,
                       LLVMMemoryBufferRef *objects) {
    Head head;
    uint64_t bytes[TARGET_MOST_SHARES], total = 0;
    if (size < sizeof head) return 0;
    memcpy(&head, data, sizeof head);
    data += sizeof head, size -= sizeof head;
    bool good = memcmp(head.magic, magic, sizeof magic) == 0 && head.key_bytes == key->size &&
                head.nobjects > 0 && head.nobjects <= TARGET_MOST_SHARES &&
                size >= head.nobjects * sizeof *bytes + key->size && sum_of(data, size) == head.sum;
    if (!good) return 0;
    uint32_t n = (uint32_t)head.nobjects;
    memcpy(bytes, data, n * sizeof *bytes);
    const char *at = data + n * sizeof *bytes;
    if (memcmp(at, key->data, key->size) != 0) return 0;
    at += key->size;
    size -= n * sizeof *bytes + key->size;
    for (uint32_t i = 0; i < n; i++) {
        if (bytes[i] > size - total) return 0;
        total += bytes[i];
    }
    if (total != size) return 0;
    for (uint32_t i = 0; i < n; at += bytes[i++])
        objects[i] = LLVMCreateMemoryBufferWithMemoryRangeCopy(at, bytes[i], "cached");
    return n;
}

/* What is in the folder will run: nobody else may have put it there. */
static bool is_private(const char *folder) {
    struct stat status;
    return stat(folder, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
           !(status.st_mode & (S_IWGRP | S_IWOTH));
}

uint32_t cache_find(Ctx *ctx, const char *folder, const CacheKey *key,
                    LLVMMemoryBufferRef *objects) {
    LLVMMemoryBufferRef file = NULL;
    char *message = NULL;
    const char *path = path_of(ctx, folder, key);
    if (!is_private(folder)) return 0;
    if (LLVMCreateMemoryBufferWithContentsOfFile(path, &file, &message)) {
        LLVMDisposeMessage(message);
        return 0;
    }
    uint32_t n = unpack(LLVMGetBufferStart(file), LLVMGetBufferSize(file), key, objects);
    LLVMDisposeMemoryBuffer(file);
    if (n) utimensat(AT_FDCWD, path, NULL, 0); /* used now */
    return n;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The folder and those above it. */
static bool make_folder(Ctx *ctx, const char *folder) {
    char *path = arena_strndup(ctx->arena, folder, strlen(folder));
    for (char *at = path + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        if (mkdir(path, 0700) != 0 && errno != EEXIST) return false;
        *at = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

typedef struct File {
    const char *path;
    uint64_t bytes;
    struct timespec used;
} File;

static int older_first(const void *a, const void *b) {
    const struct timespec *x = &((const File *)a)->used, *y = &((const File *)b)->used;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

static void make_room(Ctx *ctx, const char *folder) {
    Vec(File) files = {0};
    uint64_t total = 0;
    DIR *open = opendir(folder);
    if (!open) return;
    for (const struct dirent *e = readdir(open); e; e = readdir(open)) {
        struct stat status;
        const char *path = arena_printf(ctx->arena, "%s/%s", folder, e->d_name);
        if (!strstr(e->d_name, ".objects") || stat(path, &status) != 0) continue;
        File file = {path, (uint64_t)status.st_size, status.st_mtim};
        vec_push(ctx->arena, &files, file);
        total += file.bytes;
    }
    closedir(open);
    if (total <= MOST_BYTES) return;
    qsort(files.at, files.len, sizeof *files.at, older_first);
    for (uint32_t i = 0; i < files.len && total > MOST_BYTES / 2; i++)
        if (unlink(files.at[i].path) == 0) total -= files.at[i].bytes;
}

void cache_keep(Ctx *ctx, const char *folder, const CacheKey *key, uint32_t n,
                const LLVMMemoryBufferRef *objects) {
    uint64_t bytes[TARGET_MOST_SHARES];
    size_t size = sizeof(Head) + n * sizeof *bytes + key->size;
    for (uint32_t i = 0; i < n; i++) size += bytes[i] = LLVMGetBufferSize(objects[i]);
    Head head = {.key_bytes = key->size, .nobjects = n};
    memcpy(head.magic, magic, sizeof magic);
    char *data = arena_alloc(ctx->arena, size), *at = data + sizeof head;
    memcpy(at, bytes, n * sizeof *bytes);
    at += n * sizeof *bytes;
    memcpy(at, key->data, key->size);
    at += key->size;
    for (uint32_t i = 0; i < n; at += bytes[i++])
        memcpy(at, LLVMGetBufferStart(objects[i]), bytes[i]);
    head.sum = sum_of(data + sizeof head, size - sizeof head);
    memcpy(data, &head, sizeof head);
    if (!make_folder(ctx, folder) || !is_private(folder)) return;
    make_room(ctx, folder);
    target_put(ctx, path_of(ctx, folder, key), data, size);
}
