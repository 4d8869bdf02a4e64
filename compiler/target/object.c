/* target/object.c: machine code and assembly, in memory and in files.
 *
 * in:   an optimised module      out: an object file, or text
 * Files are written aside and renamed, so that a file of that name is always whole.
 */
#include "target/header.h"
#include "target/private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

LLVMMemoryBufferRef target_generate(LLVMModuleRef module, LLVMTargetMachineRef generator,
                                    LLVMCodeGenFileType type, char **message) {
    LLVMMemoryBufferRef code = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(generator, module, type, message, &code)) return NULL;
    return code;
}

LLVMMemoryBufferRef target_emit(Ctx *ctx, LLVMModuleRef module, LLVMTargetMachineRef generator,
                                LLVMCodeGenFileType type) {
    char *message = NULL;
    LLVMMemoryBufferRef code = target_generate(module, generator, type, &message);
    if (!code)
        diag_error(ctx, (Span){0}, "LLVM cannot generate this code for `%s`: %s",
                   LLVMGetTarget(module), message);
    LLVMDisposeMessage(message);
    return code;
}

/* Generating code changes a module; the caller's stays as it is. */
static LLVMMemoryBufferRef emit_copy(Ctx *ctx, LLVMModuleRef module, const Machine *machine,
                                     LLVMCodeGenFileType type) {
    LLVMModuleRef copy = LLVMCloneModule(module);
    LLVMTargetMachineRef generator = target_generator(ctx, machine);
    LLVMMemoryBufferRef code = target_emit(ctx, copy, generator, type);
    LLVMDisposeTargetMachine(generator);
    LLVMDisposeModule(copy);
    return code;
}

static bool write_bytes(FILE *out, const char *bytes, size_t length) {
    return fwrite(bytes, 1, length, out) == length && fflush(out) == 0;
}

static bool write_code(FILE *out, LLVMMemoryBufferRef code) {
    return write_bytes(out, LLVMGetBufferStart(code), LLVMGetBufferSize(code));
}

int target_put(Ctx *ctx, const char *path, const char *bytes, size_t length) {
    const char *aside = arena_printf(ctx->arena, "%s.%ld.part", path, (long)getpid());
    FILE *file = fopen(aside, "wb");
    bool good = file && write_bytes(file, bytes, length);
    int reason = errno;
    if (file && fclose(file) != 0 && good) good = false, reason = errno;
    if (good && rename(aside, path) != 0) good = false, reason = errno;
    if (!good && file) remove(aside);
    return good ? 0 : reason;
}

bool target_write(Ctx *ctx, const char *path, const char *bytes, size_t length) {
    int reason = target_put(ctx, path, bytes, length);
    if (reason) diag_error(ctx, (Span){0}, "cannot write `%s`: %s", path, strerror(reason));
    return !reason;
}

bool target_object(Ctx *ctx, LLVMModuleRef module, const Machine *machine, const char *path) {
    LLVMMemoryBufferRef code = emit_copy(ctx, module, machine, LLVMObjectFile);
    if (!code) return false;
    bool good = target_write(ctx, path, LLVMGetBufferStart(code), LLVMGetBufferSize(code));
    LLVMDisposeMemoryBuffer(code);
    return good;
}

bool target_assembly(Ctx *ctx, LLVMModuleRef module, const Machine *machine, FILE *out) {
    LLVMMemoryBufferRef code = emit_copy(ctx, module, machine, LLVMAssemblyFile);
    if (!code) return false;
    bool ok = write_code(out, code);
    if (!ok) diag_error(ctx, (Span){0}, "cannot write the assembly: %s", strerror(errno));
    LLVMDisposeMemoryBuffer(code);
    return ok;
}
