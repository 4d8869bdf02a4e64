/* ir/phases.c: contractions whose result has phases become contractions without.
 *
 * in:   y[j] = a sum of products that uses j as (j + c) / s only, and perhaps as (j + c) % s: what
 * reaches a place depends on its remainder, as in the gradient of a strided convolution; or it is
 * the same for s places
 * out:  y.phases[r, q] = the same sum with r for the remainder, if it is used, and q for the
 * quotient, and y[j] = y.phases[(j + c) % s, (j + c) / s]
 * The sum's subscripts are then sums of indices again, which is what fast kernels are made of.
 */
#include "ir/passes.h"

/* How one free index is used. */
typedef struct Phase {
    Ctx *ctx;
    Index *index, *quotient, *remainder; /* no remainder: NULL */
    const Expr *place;                   /* index + c, once one was found */
    int64_t step, first;                 /* first: the least quotient */
    bool has_quotient, has_remainder, fits;
} Phase;

/* Is it index + c? */
static bool is_place(const Phase *p, const Expr *num) {
    return num->affine.nterms == 1 && num->affine.terms[0].coefficient == 1 &&
           num->affine.terms[0].atom->kind == EX_INDEX &&
           num->affine.terms[0].atom->index == p->index;
}

static void look(void *data, const Expr *e) {
    Phase *p = data;
    if (!p->fits || !ir_uses_index(e, p->index)) return;
    bool digit = e->kind == EX_FLOORDIV || e->kind == EX_MOD;
    if (e->kind == EX_INDEX || (digit && !is_place(p, e->div.num))) {
        p->fits = false;
    } else if (digit) {
        if (!p->place) p->place = e->div.num, p->step = e->div.den;
        p->fits = p->place == e->div.num && p->step == e->div.den;
        p->has_quotient |= e->kind == EX_FLOORDIV;
        p->has_remainder |= e->kind == EX_MOD;
    } else {
        ir_each_child(e, look, p);
    }
}

static bool find_phase(Ctx *ctx, const Equation *equation, Index *index, Phase *p) {
    *p = (Phase){.ctx = ctx, .index = index, .fits = index->extent != EXTENT_BATCH};
    look(p, equation->body);
    if (!p->fits || !p->has_quotient) return false;
    int64_t low, high;
    ir_bounds(ir_floordiv(ctx, p->place, p->step), &low, &high);
    p->first = low;
    if (p->has_remainder) p->remainder = ir_index(ctx, sym(ctx, "r"), p->step);
    p->quotient = ir_index(ctx, index->name, high - low + 1);
    return true;
}

static const Expr *replace_digit(void *data, const Expr *e) {
    const Phase *p = data;
    if (e->kind != EX_FLOORDIV && e->kind != EX_MOD) return NULL;
    if (e->div.num != p->place || e->div.den != p->step) return NULL;
    if (e->kind == EX_MOD) return ir_index_value(p->ctx, p->remainder);
    return ir_int_add(p->ctx, ir_index_value(p->ctx, p->quotient), ir_int(p->ctx, p->first));
}

/* The sum over all phases, as a tensor: the batch first, then the remainders, then the others. */
static void split(Ctx *ctx, Module *m, Equation *equation, const Phase *phases, uint32_t n) {
    uint32_t rank = equation->result->rank, d = 0, next = 0;
    const Expr *body = equation->body;
    Index **all = ARENA_ARRAY(ctx->scratch, Index *, rank + n);
    const Expr **at = ARENA_ARRAY(ctx->scratch, const Expr *, rank + n);
    int64_t *dims = ARENA_ARRAY(ctx->scratch, int64_t, rank + n);
    if (rank && equation->free[0]->extent == EXTENT_BATCH) {
        all[d] = equation->free[0];
        at[d++] = ir_index_value(ctx, equation->free[0]);
    }
    uint32_t batch = d;
    for (uint32_t k = 0; k < n; k++) {
        body = ir_rewrite(ctx, body, replace_digit, (void *)(uintptr_t)&phases[k]);
        if (!phases[k].remainder) continue;
        all[d] = phases[k].remainder;
        at[d++] = ir_mod(ctx, phases[k].place, phases[k].step);
    }
    for (uint32_t i = batch; i < rank; i++) {
        const Phase *phase =
            next < n && phases[next].index == equation->free[i] ? &phases[next++] : NULL;
        all[d] = phase ? phase->quotient : equation->free[i];
        at[d] = ir_index_value(ctx, equation->free[i]);
        if (phase)
            at[d] = ir_int_sub(ctx, ir_floordiv(ctx, phase->place, phase->step),
                               ir_int(ctx, phase->first));
        d++;
    }
    for (uint32_t i = 0; i < d; i++) dims[i] = all[i]->extent;
    Tensor *tensor =
        ir_tensor(ctx, m, TENSOR_LOCAL, sym_printf(ctx, "%s.phases", equation->result->name), d,
                  dims, 0, equation->span);
    /* Not every pair of remainder and quotient is a place. */
    ir_define(ctx, m, tensor, all, ir_protect(ctx, body), equation->span);
    equation->body = ir_read(ctx, tensor, at, NULL);
}

void ir_split_phases(Ctx *ctx, Module *m) {
    uint32_t n = m->equations.len;
    ArenaMark mark = arena_mark(ctx->scratch);
    for (uint32_t i = 0; i < n; i++) {
        Equation *equation = m->equations.at[i];
        uint32_t rank = equation->result->rank, found = 0;
        if (equation->body->kind != EX_CONTRACT || equation->scan.group) continue;
        Phase *phases = ARENA_ARRAY(ctx->scratch, Phase, rank + 1);
        for (uint32_t d = 0; d < rank; d++)
            found += find_phase(ctx, equation, equation->free[d], &phases[found]);
        if (found) split(ctx, m, equation, phases, found);
    }
    arena_release(ctx->scratch, mark);
}
