/* target/header.h: the C header that goes with an object file.
 */
#ifndef DLC_TARGET_HEADER_H
#define DLC_TARGET_HEADER_H

#include "codegen/codegen.h"
#include "runtime/abi.h"
#include "support/ctx.h"

void target_header(Ctx *ctx, Text *out, const DlrtModel *model, const Machine *machine,
                   bool trains);
/* A name as a C identifier: other characters become `_`, a keyword of C or C++ gets one appended.
 */
const char *target_identifier(Ctx *ctx, const char *name);
/* Writes a whole file aside and renames it. */
bool target_write(Ctx *ctx, const char *path, const char *bytes, size_t length);

#endif
