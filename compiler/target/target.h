/* target/target.h: LLVM IR to code that runs: in this process, or in an object file with its
 * header.
 *
 * in:   an LLVM module from codegen      out: function pointers, or files
 */
#ifndef DLC_TARGET_TARGET_H
#define DLC_TARGET_TARGET_H

#include "codegen/codegen.h"
#include "runtime/abi.h"

/* The machine dlc runs on (NULL names), or the one asked for. NULL with a message when LLVM does
 * not know it. */
const Machine *target_machine(Ctx *ctx, const char *triple, const char *cpu);

/* Runs the optimisation passes that compiled functions get (few: the code comes in good shape). */
bool target_optimize(Ctx *ctx, LLVMModuleRef module, const Machine *machine);

/* Threads for the code of large modules; parallel NULL: none. */
typedef struct TargetThreads {
    const DlrtParallel *parallel;
    int64_t workers;
} TargetThreads;

/* Code in this process (ORC). Takes the module and its context. target_jit_free gives all back. */
typedef struct Jit Jit;
Jit *target_jit(Ctx *ctx, LLVMModuleRef module, LLVMContextRef llvm, const Machine *machine);
void *target_jit_find(Ctx *ctx, Jit *jit, const char *symbol);
/* The same for functions whose code is made when they are first called, by a thread that may use
 * the Ctx then. `generate` gives a module from codegen whose only visible symbol is `symbol`; NULL
 * after a message. What is made of it is kept in the folder `cache` for later runs, unless that is
 * NULL. */
typedef struct TargetCode {
    const char *symbol;
    LLVMModuleRef (*generate)(void *data, LLVMContextRef llvm);
    void *data;
    const Machine *machine;
    TargetThreads threads;
    const char *cache;
} TargetCode;
Jit *target_jit_lazy(Ctx *ctx);
bool target_jit_promise(Ctx *ctx, Jit *jit, TargetCode code);
void target_jit_free(Jit *jit);

/* Files are written aside and renamed. */
bool target_object(Ctx *ctx, LLVMModuleRef module, const Machine *machine, const char *path);
bool target_assembly(Ctx *ctx, LLVMModuleRef module, const Machine *machine, FILE *out);

#endif
