/* target/private.h: what the files of target/ share. */
#ifndef DLC_TARGET_PRIVATE_H
#define DLC_TARGET_PRIVATE_H

#include "target/target.h"

#include <llvm-c/TargetMachine.h>

/* LLVM's code generator for the machine; the caller disposes of it. */
LLVMTargetMachineRef target_generator(Ctx *ctx, const Machine *machine);
/* Machine code or assembly in memory; the caller disposes of it. The module is changed on the
 * way. NULL after a message. */
LLVMMemoryBufferRef target_emit(Ctx *ctx, LLVMModuleRef module, const Machine *machine,
                                LLVMCodeGenFileType type);

/* The same with LLVM's message instead of one of the Ctx, which it does not use: for any thread. */
LLVMMemoryBufferRef target_generate(Ctx *ctx, LLVMModuleRef module, const Machine *machine,
                                    LLVMCodeGenFileType type, char **message);
/* Object files, up to TARGET_MOST_SHARES, the first with what is seen of the module from outside.
 * 0 after a message. */
enum { TARGET_MOST_SHARES = 32 };
uint32_t target_emit_shares(Ctx *ctx, LLVMModuleRef module, const Machine *machine,
                            const TargetThreads *threads, LLVMMemoryBufferRef *codes);

#endif
