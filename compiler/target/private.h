/* target/private.h: what the files of target/ share. */
#ifndef DLC_TARGET_PRIVATE_H
#define DLC_TARGET_PRIVATE_H

#include "target/target.h"

#include <llvm-c/TargetMachine.h>

/* How hard LLVM works on machine code, and which of its passes do nothing. */
#define TARGET_EFFORT            LLVMCodeGenLevelDefault
#define TARGET_NO_SCHEDULER      "-enable-misched=0"
#define TARGET_NO_LATE_SCHEDULER "-post-RA-scheduler=0"
#define TARGET_LOOPS_AS_THEY_ARE "-disable-lsr"

/* LLVM's code generator for the machine, to make once for several modules; the caller disposes of
 * it. */
LLVMTargetMachineRef target_generator(Ctx *ctx, const Machine *machine);
/* Runs target_passes. */
void target_run_passes(Ctx *ctx, LLVMModuleRef module, LLVMTargetMachineRef generator);
/* Machine code or assembly in memory; the caller disposes of it. The module is changed on the
 * way. NULL after a message. */
LLVMMemoryBufferRef target_emit(Ctx *ctx, LLVMModuleRef module, LLVMTargetMachineRef generator,
                                LLVMCodeGenFileType type);
/* The same with LLVM's message instead of one of the Ctx: for any thread, with its own generator.
 */
LLVMMemoryBufferRef target_generate(LLVMModuleRef module, LLVMTargetMachineRef generator,
                                    LLVMCodeGenFileType type, char **message);
/* Object files, up to TARGET_MOST_SHARES, the first with what is seen of the module from outside.
 * The other threads have generators for the machine of their own. 0 after a message. */
enum { TARGET_MOST_SHARES = 32 };
uint32_t target_emit_shares(Ctx *ctx, LLVMModuleRef module, const Machine *machine,
                            LLVMTargetMachineRef generator, const TargetThreads *threads,
                            LLVMMemoryBufferRef *codes);

/* The passes that target_optimize runs. */
extern const char target_passes[];
/* Writes a whole file aside and renames it; 0, or errno. */
int target_put(Ctx *ctx, const char *path, const char *bytes, size_t length);

/* ---- cache.c: object files of earlier runs ---- */
/* All that machine code depends on: the module as codegen made it, the machine, LLVM and what we
 * ask of it. Lives in the arena. */
typedef struct CacheKey {
    const char *data;
    size_t size;
} CacheKey;
CacheKey cache_key(Ctx *ctx, LLVMModuleRef module, const Machine *machine);
/* The objects kept under the key, up to TARGET_MOST_SHARES; the caller disposes of them. 0: there
 * are none. */
uint32_t cache_find(Ctx *ctx, const char *folder, const CacheKey *key,
                    LLVMMemoryBufferRef *objects);
/* Keeps n objects under the key, if that is possible. */
void cache_keep(Ctx *ctx, const char *folder, const CacheKey *key, uint32_t n,
                const LLVMMemoryBufferRef *objects);

#endif
