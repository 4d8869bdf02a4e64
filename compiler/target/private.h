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

#endif
