/* ir/private.h: what the files of ir/ share. */
#ifndef DLC_IR_PRIVATE_H
#define DLC_IR_PRIVATE_H

#include "ir/ir.h"

typedef struct IrContext {
    const Expr **slots; /* hash table of all expressions */
    uint32_t nslots, len;
    uint32_t next_expr, next_index, next_tensor;
} IrContext;

IrContext *ir_context(Ctx *ctx);
/* The one expression equal to this one. Arrays of `prototype` are copied when it is new. */
const Expr *ir_intern(Ctx *ctx, Expr prototype);
/* Local simplification of an operation whose arguments have their final types; NULL: nothing to do.
 */
const Expr *ir_simplify_op(Ctx *ctx, Op op, const Expr *const *args);
/* The operation itself, as it stands. */
const Expr *ir_op_node(Ctx *ctx, Op op, const Expr *const *args);
/* a * factor in int64, saturating. */
int64_t ir_saturating_mul(int64_t a, int64_t b);
int64_t ir_saturating_add(int64_t a, int64_t b);

#endif
