/* ir/private.h: what the files of ir/ share. */
#ifndef DLC_IR_PRIVATE_H
#define DLC_IR_PRIVATE_H

#include "ir/ir.h"

typedef struct IrContext {
    struct ExprSlot {
        const Expr *e;
        uint32_t hash;
    } *slots; /* hash table of all expressions */
    uint32_t nslots, len;
    uint32_t next_expr, next_index, next_tensor;
    struct Memo *memos; /* that nobody uses now */
    uint64_t work;      /* see ir_work */
    Map reads;          /* const Expr* → Reads*, of those that were asked for */
} IrContext;

IrContext *ir_context(Ctx *ctx);
/* The one expression equal to this one. Arrays of `prototype` are copied when it is new. */
const Expr *ir_intern(Ctx *ctx, Expr prototype);
/* Local simplification of an operation whose arguments have their final types; NULL: nothing to do.
 */
const Expr *ir_simplify_op(Ctx *ctx, Op op, const Expr *const *args);
/* The operation itself, as it stands. */
const Expr *ir_op_node(Ctx *ctx, Op op, const Expr *const *args);
/* What a walk over an expression remembers of each node: NULL at first. Memos are taken from those
 * that earlier walks have given back, so that a walk allocates nothing. The place is valid until
 * the next call. */
typedef struct Memo Memo;
Memo *ir_memo_begin(Ctx *ctx);
const Expr **ir_memo(Ctx *ctx, Memo *memo, const Expr *e);
void ir_memo_end(Ctx *ctx, Memo *memo);
/* a * factor in int64, saturating. */
int64_t ir_saturating_mul(int64_t a, int64_t b);
int64_t ir_saturating_add(int64_t a, int64_t b);

#endif
