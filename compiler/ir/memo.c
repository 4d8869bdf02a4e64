/* ir/memo.c: what a walk over an expression remembers of its nodes.
 *
 * A table by the expressions' ids, which are dense, so that neighbours of a tree lie close
 * together. Slots of earlier walks have another stamp: emptying a table is counting one up. Walks
 * within walks have tables of their own.
 */
#include "ir/private.h"

typedef struct MemoSlot {
    const Expr *key, *value;
    uint32_t stamp;
} MemoSlot;

struct Memo {
    Memo *next; /* of those that are free */
    MemoSlot *slots;
    uint32_t nslots, len, stamp;
};

enum { FIRST_SLOTS = 128 };

static MemoSlot *find(const Memo *memo, const Expr *e) {
    uint32_t mask = memo->nslots - 1, i = e->id & mask;
    while (memo->slots[i].stamp == memo->stamp && memo->slots[i].key != e) i = (i + 1) & mask;
    return &memo->slots[i];
}

static void grow(Ctx *ctx, Memo *memo) {
    Memo old = *memo;
    memo->nslots = old.nslots ? old.nslots * 2 : FIRST_SLOTS;
    memo->slots = ARENA_ARRAY(ctx->arena, MemoSlot, memo->nslots);
    for (uint32_t i = 0; i < old.nslots; i++)
        if (old.slots[i].stamp == memo->stamp) *find(memo, old.slots[i].key) = old.slots[i];
    arena_drop(ctx->arena, old.slots, old.nslots * sizeof *old.slots);
}

Memo *ir_memo_begin(Ctx *ctx) {
    IrContext *ir = ir_context(ctx);
    Memo *memo = ir->memos;
    if (memo)
        ir->memos = memo->next;
    else
        memo = ARENA_NEW(ctx->arena, Memo);
    memo->len = 0;
    if (++memo->stamp) return memo;
    for (uint32_t i = 0; i < memo->nslots; i++) memo->slots[i].stamp = 0;
    memo->stamp = 1;
    return memo;
}

uint64_t ir_work(const Ctx *ctx) {
    return ctx->ir ? ctx->ir->work : 0;
}

const Expr **ir_memo(Ctx *ctx, Memo *memo, const Expr *e) {
    ctx->ir->work++;
    if (memo->len * 2 >= memo->nslots) grow(ctx, memo);
    MemoSlot *slot = find(memo, e);
    if (slot->stamp != memo->stamp) {
        *slot = (MemoSlot){e, NULL, memo->stamp};
        memo->len++;
    }
    return &slot->value;
}

void ir_memo_end(Ctx *ctx, Memo *memo) {
    IrContext *ir = ir_context(ctx);
    memo->next = ir->memos;
    ir->memos = memo;
}
