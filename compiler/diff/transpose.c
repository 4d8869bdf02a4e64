/* diff/transpose.c: which places of an equation read a given element.
 *
 * in:   a read x[A(o, r)] in an equation over the unknown indices (o, r), what is to be summed over
 *       them, and the element x[p] asked for
 * out:  the sum over all (o, r) with A(o, r) = p, as an expression in p
 *
 * Each subscript gives one equation A_d(o, r) = p_d over the integers. It is solved exactly:
 *   - an unknown u with coefficient +1 or -1 is replaced by +-(p_d - rest), guarded by its range;
 *   - with a*i + b*u and |a| > 1, i and u are replaced together by quotient and remainder: with
 *     q = p_d - rest, a short new index j and b = 1, u = a*j + (q mod a) and i = floor(q / a) - j.
 *     Every output reads only the terms that reach it (the phases of a strided convolution). What
 *     divides both a and b must divide q, as a guard;
 *   - a single s*u is guarded by divisibility;
 *   - floor(a / n) = p is a = n*p + r for a new short index r < n, and a mod n = p is a = n*q + p
 * for a new q: a flattened tensor is solved digit by digit, and what is left over vanishes;
 *   - what depends on data keeps its equation as a guard (plan makes a scatter of it).
 * Unknowns that no equation fixes are summed over.
 */
#include "diff/private.h"

typedef struct Solver {
    Ctx *ctx;
    Vec(Index *) unknowns; /* not yet fixed */
    Map solved;            /* Index* → const Expr* in p and the unknowns left */
    Vec(Index *) digits;   /* made by solve_digit: a solution must lie in their ranges, too */
    const Expr *guard;     /* what was left unsolved; ranges of the solved are added at the end */
} Solver;

static const Expr *apply(Solver *s, const Expr *e) {
    return ir_substitute(s->ctx, e, &s->solved);
}

static void require(Solver *s, const Expr *condition) {
    s->guard = ir_op2(s->ctx, OP_AND, s->guard, condition);
}

static void require_range(Solver *s, const Expr *value, int64_t extent) {
    Ctx *ctx = s->ctx;
    if (ir_inside(ctx, value, extent, NULL, 0)) return;
    const Expr *size = extent == EXTENT_BATCH ? ir_batch(ctx) : ir_int(ctx, extent);
    require(s, ir_op2(ctx, OP_GE, value, ir_int(ctx, 0)));
    require(s, ir_op2(ctx, OP_LT, value, size));
}

/* index := value, everywhere. */
static void fix(Solver *s, Index *index, const Expr *value) {
    Map one = {0};
    map_set(s->ctx->arena, &one, index, (void *)value);
    for (uint32_t i = 0; i < s->solved.len; i++) {
        const Expr *before = s->solved.entries[i].value;
        s->solved.entries[i].value = (void *)ir_substitute(s->ctx, before, &one);
    }
    s->guard = ir_substitute(s->ctx, s->guard, &one);
    map_set(s->ctx->arena, &s->solved, index, (void *)value);
    for (uint32_t i = 0; i < s->unknowns.len; i++) {
        if (s->unknowns.at[i] != index) continue;
        memmove(&s->unknowns.at[i], &s->unknowns.at[i + 1],
                (s->unknowns.len - i - 1) * sizeof *s->unknowns.at);
        s->unknowns.len--;
        return;
    }
}

static bool is_unknown(const Solver *s, const Index *index) {
    for (uint32_t i = 0; i < s->unknowns.len; i++)
        if (s->unknowns.at[i] == index) return true;
    return false;
}

/* The term of `sub` that is a bare unknown, occurring in no other term; NULL otherwise. */
static Index *solvable(const Solver *s, const Expr *sub, uint32_t term) {
    const Expr *atom = sub->affine.terms[term].atom;
    if (atom->kind != EX_INDEX || !is_unknown(s, atom->index)) return NULL;
    for (uint32_t t = 0; t < sub->affine.nterms; t++)
        if (t != term && ir_uses_index(sub->affine.terms[t].atom, atom->index)) return NULL;
    return atom->index;
}

static bool holds_unknown(const Solver *s, const Expr *e) {
    for (uint32_t i = 0; i < s->unknowns.len; i++)
        if (ir_uses_index(e, s->unknowns.at[i])) return true;
    return false;
}

/* The batch counts as the largest, so that it is solved for rather than summed over. */
static bool larger(const Index *a, const Index *b) {
    if (a->extent == EXTENT_BATCH || b->extent == EXTENT_BATCH) return a->extent == EXTENT_BATCH;
    return a->extent > b->extent;
}

static const Expr *without_term(Ctx *ctx, const Expr *sub, uint32_t term) {
    const Expr *value = ir_int_atom(ctx, sub->affine.terms[term].atom);
    return ir_int_sub(ctx, sub, ir_int_scale(ctx, value, sub->affine.terms[term].coefficient));
}

/* The greatest common divisor of a > 0 and b; *x with b*x = divisor modulo a, 0 <= *x < a. */
static int64_t divisor(int64_t a, int64_t b, int64_t *x) {
    int64_t m = a, n = (b % a + a) % a, before = 0, now = 1;
    while (n) {
        int64_t quotient = m / n, rest = m % n, next = before - quotient * now;
        m = n, n = rest;
        before = now, now = next;
    }
    *x = (before % a + a) % a;
    return m;
}

/* a*i + b*u = q for two unknowns: what divides both a and b must divide q; of the u that are left
 * every |a|-th is one, and i follows. */
static void solve_pair(Solver *s, const Expr *sub, uint32_t first, uint32_t second, const Expr *p) {
    Ctx *ctx = s->ctx;
    Index *i = sub->affine.terms[first].atom->index, *u = sub->affine.terms[second].atom->index;
    int64_t a = sub->affine.terms[first].coefficient, b = sub->affine.terms[second].coefficient;
    const Expr *rest = ir_int_sub(ctx, sub, ir_int_scale(ctx, ir_index_value(ctx, i), a));
    rest = ir_int_sub(ctx, rest, ir_int_scale(ctx, ir_index_value(ctx, u), b));
    const Expr *q = ir_int_sub(ctx, p, rest);
    if (b < 0) q = ir_int_scale(ctx, q, -1), a = -a, b = -b;
    int64_t step = a < 0 ? -a : a, inverse;
    int64_t common = divisor(step, b, &inverse);
    if (common > 1) require(s, ir_op2(ctx, OP_EQ, ir_mod(ctx, q, common), ir_int(ctx, 0)));
    q = ir_floordiv(ctx, q, common);
    b /= common, step /= common;
    Index *j = ir_index(ctx, u->name, (u->extent + step - 1) / step);
    const Expr *turns = ir_index_value(ctx, j);
    const Expr *r = ir_mod(ctx, ir_int_scale(ctx, q, inverse % step), step);
    const Expr *left = b == 1 ? q : ir_int_sub(ctx, q, ir_int_scale(ctx, r, b)); /* step*i + b*u' */
    const Expr *i_value =
        ir_int_sub(ctx, ir_floordiv(ctx, left, step), ir_int_scale(ctx, turns, b));
    if (a < 0) i_value = ir_int_scale(ctx, i_value, -1);
    vec_push(ctx->arena, &s->unknowns, j);
    fix(s, u, ir_int_add(ctx, ir_int_scale(ctx, turns, step), r));
    fix(s, i, i_value);
}

/* An unknown with stride > 1 beside another one, whose solution would otherwise be summed in vain.
 */
static int strided_partner(const Solver *s, const Expr *sub, uint32_t unit) {
    int best = -1;
    for (uint32_t t = 0; t < sub->affine.nterms; t++) {
        int64_t c = sub->affine.terms[t].coefficient;
        if (t == unit || (c >= -1 && c <= 1) || !solvable(s, sub, t)) continue;
        Index *index = sub->affine.terms[t].atom->index;
        if (index->extent == EXTENT_BATCH) continue;
        if (best < 0 || larger(index, sub->affine.terms[best].atom->index)) best = (int)t;
    }
    return best;
}

static void solve(Solver *s, const Expr *sub, const Expr *p);

/* The term of `sub` that is a quotient or remainder and alone holds unknowns; -1 when there is
 * none. One of its unknowns can be solved for. */
static int digit_term(const Solver *s, const Expr *sub) {
    int found = -1;
    for (uint32_t t = 0; t < sub->affine.nterms; t++) {
        const Term *term = &sub->affine.terms[t];
        if (!holds_unknown(s, term->atom)) continue;
        if (found >= 0 || (term->coefficient != 1 && term->coefficient != -1)) return -1;
        if (term->atom->kind != EX_FLOORDIV && term->atom->kind != EX_MOD) return -1;
        found = (int)t;
    }
    return found;
}

/* Can `num` = something be solved at all: does it have an unknown in the open, or in a digit? */
static bool is_solvable(const Solver *s, const Expr *num) {
    for (uint32_t t = 0; t < num->affine.nterms; t++) {
        int64_t c = num->affine.terms[t].coefficient;
        if ((c == 1 || c == -1) && solvable(s, num, t)) return true;
    }
    int digit = digit_term(s, num);
    return digit >= 0 && is_solvable(s, num->affine.terms[digit].atom->div.num);
}

/* The equation for a digit as one for its numerator, with a new index for what it does not say. */
static bool solve_digit(Solver *s, const Expr *sub, const Expr *p) {
    Ctx *ctx = s->ctx;
    int term = digit_term(s, sub);
    if (term < 0) return false;
    const Expr *atom = sub->affine.terms[term].atom, *num = atom->div.num;
    int64_t n = atom->div.den, low, high;
    ir_bounds(num, &low, &high);
    bool bounded = low > -IR_UNBOUNDED && high < IR_UNBOUNDED;
    if (!is_solvable(s, num) || !bounded) return false;
    const Expr *digit = ir_int_sub(ctx, p, without_term(ctx, sub, (uint32_t)term));
    digit = ir_int_scale(ctx, digit, sub->affine.terms[term].coefficient);
    bool quotient = atom->kind == EX_FLOORDIV;
    const Expr *first = ir_floordiv(ctx, ir_int(ctx, low), n);
    const Expr *last = ir_floordiv(ctx, ir_int(ctx, high), n);
    int64_t turns = last->affine.offset - first->affine.offset + 1;
    Index *rest = ir_index(ctx, sym(ctx, quotient ? "r" : "q"), quotient ? n : turns);
    vec_push(ctx->arena, &s->unknowns, rest);
    vec_push(ctx->arena, &s->digits, rest);
    const Expr *value = ir_index_value(ctx, rest);
    if (quotient) {
        value = ir_int_add(ctx, ir_int_scale(ctx, digit, n), value);
    } else {
        require_range(s, digit, n);
        value = ir_int_add(ctx, ir_int_scale(ctx, ir_int_add(ctx, value, first), n), digit);
    }
    solve(s, num, value);
    return true;
}

/* sub = p for one dimension. */
static void solve(Solver *s, const Expr *sub, const Expr *p) {
    Ctx *ctx = s->ctx;
    sub = apply(s, sub);
    if (solve_digit(s, sub, p)) return;
    int unit = -1, other = -1;
    for (uint32_t t = 0; t < sub->affine.nterms; t++) {
        Index *index = solvable(s, sub, t);
        if (!index) continue;
        int64_t c = sub->affine.terms[t].coefficient;
        int *slot = c == 1 || c == -1 ? &unit : &other;
        if (*slot < 0 || larger(index, sub->affine.terms[*slot].atom->index)) *slot = (int)t;
    }
    int partner = unit >= 0 ? strided_partner(s, sub, (uint32_t)unit) : -1;
    if (partner >= 0 && sub->affine.terms[unit].atom->index->extent != EXTENT_BATCH) {
        solve_pair(s, sub, (uint32_t)partner, (uint32_t)unit, p);
        return;
    }
    if (unit >= 0) {
        Index *u = sub->affine.terms[unit].atom->index;
        const Expr *value = ir_int_sub(ctx, p, without_term(ctx, sub, (uint32_t)unit));
        value = ir_int_scale(ctx, value, sub->affine.terms[unit].coefficient);
        fix(s, u, value);
        return;
    }
    partner = other >= 0 ? strided_partner(s, sub, (uint32_t)other) : -1;
    if (partner >= 0) {
        solve_pair(s, sub, (uint32_t)other, (uint32_t)partner, p);
        return;
    }
    const Expr *rest = other >= 0 ? without_term(ctx, sub, (uint32_t)other) : NULL;
    if (other >= 0 && !holds_unknown(s, rest)) {
        Index *u = sub->affine.terms[other].atom->index;
        int64_t c = sub->affine.terms[other].coefficient;
        const Expr *q = ir_int_sub(ctx, p, rest);
        if (c < 0) q = ir_int_scale(ctx, q, -1), c = -c;
        require(s, ir_op2(ctx, OP_EQ, ir_mod(ctx, q, c), ir_int(ctx, 0)));
        const Expr *value = ir_floordiv(ctx, q, c);
        fix(s, u, value);
        return;
    }
    require(s, ir_op2(ctx, OP_EQ, sub, p));
}

static const Expr *guard_read(void *data, const Expr *e) {
    Ctx *ctx = data;
    if (e->kind != EX_READ || e->read.otherwise) return NULL;
    uint32_t rank = e->read.tensor->rank;
    const Expr **subs = ARENA_ARRAY(ctx->arena, const Expr *, rank);
    for (uint32_t d = 0; d < rank; d++)
        subs[d] = ir_rewrite_reads(ctx, e->read.subs[d], guard_read, ctx);
    const Expr *zero = e->type == TY_INT ? ir_int(ctx, 0) : ir_number(ctx, 0);
    return ir_read(ctx, e->read.tensor, subs, zero);
}

const Expr *diff_guard_reads(Ctx *ctx, const Expr *e) {
    return ir_rewrite_reads(ctx, e, guard_read, ctx);
}

/* Is e a product of reads and numbers? Then a zero read makes it zero. */
static bool is_product(const Expr *e) {
    if (e->kind == EX_NUMBER || e->kind == EX_BATCH) return true;
    if (e->kind == EX_READ) return e->type == TY_REAL;
    if (e->kind != EX_OP) return false;
    if (e->op.op == OP_MUL) return is_product(e->op.args[0]) && is_product(e->op.args[1]);
    if (e->op.op == OP_NEG) return is_product(e->op.args[0]);
    return e->op.op == OP_DIV && is_product(e->op.args[0]) &&
           (e->op.args[1]->kind == EX_NUMBER || e->op.args[1]->kind == EX_BATCH);
}

/* Is the range guard of `index` also that of a dimension of a factor of the product? */
static bool product_guards(const Expr *e, const Index *index) {
    if (e->kind == EX_OP) {
        if (e->op.op == OP_DIV || e->op.op == OP_NEG) return product_guards(e->op.args[0], index);
        return product_guards(e->op.args[0], index) || product_guards(e->op.args[1], index);
    }
    if (e->kind != EX_READ || e->read.otherwise) return false;
    for (uint32_t d = 0; d < e->read.tensor->rank; d++) {
        const Expr *sub = e->read.subs[d];
        bool bare = sub->affine.offset == 0 && sub->affine.nterms == 1 &&
                    sub->affine.terms[0].coefficient == 1 &&
                    sub->affine.terms[0].atom->kind == EX_INDEX &&
                    sub->affine.terms[0].atom->index == index;
        if (bare && e->read.tensor->dims[d] == index->extent) return true;
    }
    return false;
}

/* The multiplier at the solution, zero where an unknown would leave its range; ranges that a factor
 * of the product checks anyway are left to it. */
static const Expr *guarded(Solver *s, Index *const *unknowns, uint32_t n, const Expr *multiplier) {
    Ctx *ctx = s->ctx;
    bool product = is_product(multiplier);
    for (uint32_t i = 0; i < n; i++) {
        const Expr *value = map_get(&s->solved, unknowns[i]);
        if (!value) continue;
        if (product && product_guards(multiplier, unknowns[i])) continue;
        require_range(s, value, unknowns[i]->extent);
    }
    for (uint32_t i = 0; i < s->digits.len; i++) {
        const Expr *value = map_get(&s->solved, s->digits.at[i]);
        if (value) require_range(s, value, s->digits.at[i]->extent);
    }
    /* What may lie outside is only read under the guard, or its zero makes the guard superfluous.
     */
    const Expr *guard = diff_guard_reads(ctx, s->guard);
    const Expr *moved = diff_guard_reads(ctx, apply(s, multiplier));
    return ir_select(ctx, guard, moved, ir_number(ctx, 0));
}

const Expr *diff_transpose(Ctx *ctx, const Expr *read, Index *const *at, Index *const *unknowns,
                           uint32_t nunknowns, const Expr *multiplier) {
    Solver s = {.ctx = ctx, .guard = ir_truth(ctx, true)};
    for (uint32_t i = 0; i < nunknowns; i++) vec_push(ctx->arena, &s.unknowns, unknowns[i]);
    /* Bare indices first: they are then known where others are compound. */
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
            const Expr *sub = read->read.subs[d];
            bool bare = sub->affine.nterms == 1 && sub->affine.terms[0].coefficient == 1 &&
                        sub->affine.terms[0].atom->kind == EX_INDEX;
            if (bare == (pass == 0)) solve(&s, sub, ir_index_value(ctx, at[d]));
        }
    const Expr *value = guarded(&s, unknowns, nunknowns, multiplier);
    return ir_reduce(ctx, REDUCE_SUM, s.unknowns.at, s.unknowns.len, value);
}
