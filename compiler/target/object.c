/* target/object.c: machine code and assembly, in memory and in files.
 *
 * in:   an optimised module      out: an object file, or text
 * Files are written aside and renamed, so that a file of that name is always whole.
 */
#include "target/private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

LLVMMemoryBufferRef target_emit(Ctx *ctx, LLVMModuleRef module, const Machine *machine,
                                LLVMCodeGenFileType type) {
    LLVMTargetMachineRef generator = target_generator(ctx, machine);
    LLVMMemoryBufferRef code = NULL;
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(generator, module, type, &message, &code)) {
        diag_error(ctx, (Span){0}, "LLVM cannot generate this code for `%s`: %s", machine->triple,
                   message);
        LLVMDisposeMessage(message);
        code = NULL;
    }
    LLVMDisposeTargetMachine(generator);
    return code;
}

/* Generating code changes a module; the caller's stays as it is. */
static LLVMMemoryBufferRef emit_copy(Ctx *ctx, LLVMModuleRef module, const Machine *machine,
                                     LLVMCodeGenFileType type) {
    LLVMModuleRef copy = LLVMCloneModule(module);
    LLVMMemoryBufferRef code = target_emit(ctx, copy, machine, type);
    LLVMDisposeModule(copy);
    return code;
}

static bool write_whole(LLVMMemoryBufferRef code, FILE *out) {
    size_t size = LLVMGetBufferSize(code);
    return fwrite(LLVMGetBufferStart(code), 1, size, out) == size && fflush(out) == 0;
}

bool target_object(Ctx *ctx, LLVMModuleRef module, const Machine *machine, const char *path) {
    LLVMMemoryBufferRef code = emit_copy(ctx, module, machine, LLVMObjectFile);
    if (!code) return false;
    const char *aside = arena_printf(ctx->arena, "%s.%ld.part", path, (long)getpid());
    FILE *file = fopen(aside, "wb");
    bool ok = file && write_whole(code, file);
    int reason = errno;
    if (file && fclose(file) != 0 && ok) ok = false, reason = errno;
    if (ok && rename(aside, path) != 0) ok = false, reason = errno;
    if (!ok && file) remove(aside);
    if (!ok) diag_error(ctx, (Span){0}, "cannot write `%s`: %s", path, strerror(reason));
    LLVMDisposeMemoryBuffer(code);
    return ok;
}

bool target_assembly(Ctx *ctx, LLVMModuleRef module, const Machine *machine, FILE *out) {
    LLVMMemoryBufferRef code = emit_copy(ctx, module, machine, LLVMAssemblyFile);
    if (!code) return false;
    bool ok = write_whole(code, out);
    if (!ok) diag_error(ctx, (Span){0}, "cannot write the assembly: %s", strerror(errno));
    LLVMDisposeMemoryBuffer(code);
    return ok;
}
