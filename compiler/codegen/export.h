/* codegen/export.h: the C functions of an object file.
 *
 * in:   a module with `dl.MODEL.FUNCTION` functions   out: the same module with plain C functions
 * that call them, `MODEL_init`, `MODEL_forward`, `MODEL_step`; everything else becomes internal
 */
#ifndef DLC_CODEGEN_EXPORT_H
#define DLC_CODEGEN_EXPORT_H

#include "codegen/codegen.h"
#include "sema/sema.h"

void codegen_export(Ctx *ctx, LLVMContextRef llvm, LLVMModuleRef module, const Model *model,
                    Function *const *functions, uint32_t nfunctions, bool f64);

#endif
