/* plan/blocking.c: how contractions use the caches.
 *
 * in:   a contraction      out: the panel of b that is transposed at a time, and how much of the
 * sum is done at a time
 *
 * The sizes follow Low, Igual, Smith, Quintana-Ortí, "Analytical modeling is enough for
 * high-performance BLIS" (ACM TOMS 43, 2016): a panel fills half of the second-level cache. Where
 * all that is summed does not fit it, and each element of the operands is needed for many tiles,
 * the outermost summed index is cut into blocks: what is summed up so far lies in memory between
 * them.
 */
#include "plan/private.h"

enum {
    BATCH_GUESS = 64,  /* examples, where the number is not known */
    MOST_VECTORS = 8,  /* of columns in a panel */
    SHORTEST_SUM = 96, /* worth it to take sums from memory and back */
};

Roles plan_oriented(const Kernel *k) {
    Roles r = k->roles;
    bool swap = false;
    for (uint32_t i = 0; i < r.nm; i++) swap |= r.m[i] == k->vector;
    if (!swap) return r;
    return (Roles){.batch = r.batch,
                   .m = r.n,
                   .n = r.m,
                   .k = r.k,
                   .nbatch = r.nbatch,
                   .nm = r.nn,
                   .nn = r.nm,
                   .nk = r.nk,
                   .a = r.b,
                   .b = r.a};
}

/* ---- sizes -------------------------------------------------------------------------------------
 */

int64_t plan_turns_of(const Function *f, const Index *index) {
    if (index->extent != EXTENT_BATCH) return index->extent;
    return f->module && f->module->max_batch > 0 ? f->module->max_batch : BATCH_GUESS;
}

int64_t plan_turns_of_all(const Function *f, Index *const *indices, uint32_t n) {
    int64_t turns = 1;
    for (uint32_t i = 0; i < n; i++) turns *= plan_turns_of(f, indices[i]);
    return turns;
}

int64_t plan_footprint(const Function *f, const Expr *read, const Index *fixed) {
    int64_t elements = 1;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        int64_t reach = 1, extent = read->read.tensor->dims[d];
        for (uint32_t t = 0; t < sub->affine.nterms; t++) {
            const Term *term = &sub->affine.terms[t];
            if (term->atom->kind != EX_INDEX || term->atom->index == fixed) continue;
            int64_t step = term->coefficient < 0 ? -term->coefficient : term->coefficient;
            reach += step * (plan_turns_of(f, term->atom->index) - 1);
        }
        elements *= extent != EXTENT_BATCH && extent < reach ? extent : reach;
    }
    return elements;
}

/* ---- the panel ---------------------------------------------------------------------------------
 */

int64_t plan_stride_along(const Function *f, const Expr *read, const Index *index) {
    int64_t strides[PLAN_MOST_DIMS], stride = 0;
    plan_strides(f, read->read.tensor, strides);
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        for (uint32_t t = 0; t < sub->affine.nterms; t++)
            if (sub->affine.terms[t].atom->kind == EX_INDEX &&
                sub->affine.terms[t].atom->index == index)
                stride += sub->affine.terms[t].coefficient * strides[d];
    }
    return stride;
}

/* Codegen copies b, all of a block of the sum at once, for as many columns as the panel has room
 * for. A sum over the batch has no known length: b is read where it lies. */
static int64_t panel_bytes(const Function *f, const Kernel *k, const Roles *r, int64_t vector_bytes,
                           int64_t lanes, int64_t l2_bytes) {
    if (!k->vector || !r->b || !r->nn || plan_turns_of_all(f, r->m, r->nm) < 2) return 0;
    if (plan_contains(r->k, r->nk, k->vector) || r->b->read.tensor->rank > PLAN_MOST_DIMS) return 0;
    for (uint32_t i = 0; i < r->nk; i++)
        if (r->k[i]->extent == EXTENT_BATCH) return 0;
    int64_t stride = plan_stride_along(f, r->b, k->vector);
    if (stride == 0 || stride == 1) return 0;
    int64_t sum = plan_turns_of_all(f, r->k, r->nk);
    int64_t vectors = (plan_turns_of_all(f, r->n, r->nn) + lanes - 1) / lanes;
    if (vectors > MOST_VECTORS) vectors = MOST_VECTORS;
    while (vectors > 1 && sum * vectors * vector_bytes > l2_bytes / 2) vectors--;
    return sum * vectors * vector_bytes <= 4 * l2_bytes ? sum * vectors * vector_bytes : 0;
}

/* ---- the sum in blocks --------------------------------------------------------------------------
 */

/* The results as tiles of whole vectors. */
int64_t plan_partial_bytes(const Function *f, const Kernel *k, int64_t lanes, int64_t real_bytes) {
    int64_t elements = 1;
    for (uint32_t i = 0; i < k->nfree; i++) {
        int64_t turns = plan_turns_of(f, k->free[i]);
        if (k->free[i] == k->vector) turns = (turns + lanes - 1) / lanes * lanes;
        elements *= turns;
    }
    return elements * real_bytes;
}

static int64_t block_turns(const Function *f, const Kernel *k, const Roles *r, int64_t real_bytes,
                           int64_t partial, int64_t l2_bytes) {
    if (!k->vector || !r->a || !r->b || r->nk == 0 || partial > 4 * l2_bytes) return 0;
    if (plan_contains(r->k, r->nk, k->vector)) return 0;
    for (uint32_t i = 0; i < k->nfree; i++)
        if (k->free[i]->extent == EXTENT_BATCH) return 0;
    int64_t all = (plan_footprint(f, r->a, NULL) + plan_footprint(f, r->b, NULL)) * real_bytes;
    if (all <= l2_bytes / 2) return 0;
    const Index *outer = r->k[0];
    int64_t once = (plan_footprint(f, r->a, outer) + plan_footprint(f, r->b, outer)) * real_bytes;
    int64_t inner = plan_turns_of_all(f, r->k + 1, r->nk - 1), turns = plan_turns_of(f, outer);
    int64_t block = l2_bytes / 8 / once, least = (SHORTEST_SUM + inner - 1) / inner;
    if (block < least) block = least;
    return block < turns ? block : 0;
}

Blocking plan_blocking(const Function *f, const Kernel *k, int64_t real_bytes, int64_t vector_bytes,
                       int64_t l2_bytes) {
    const Roles roles = plan_oriented(k);
    int64_t lanes = vector_bytes / real_bytes;
    Blocking b = {.panel_bytes = panel_bytes(f, k, &roles, vector_bytes, lanes, l2_bytes)};
    int64_t partial = plan_partial_bytes(f, k, lanes, real_bytes);
    b.turns = block_turns(f, k, &roles, real_bytes, partial, l2_bytes);
    b.workspace_bytes = b.panel_bytes + (b.turns ? partial : 0);
    return b;
}
