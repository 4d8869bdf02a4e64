/* plan/band.c: which part of long rows is nothing, as that behind a causal mask.
 *
 * in:   a nest of blocks of rows      out: Kernel.band of its steps
 *
 * Where a step writes a number, -inf or 0, outside of a band of places around the row, `if u > t
 * then -inf else ...`, what follows from it is known there too: exponentials are 0, products with
 * these as well, a sum or a maximum is what it is within the band. A step leaves out what nobody
 * reads or what would add nothing, so that of a causal attention half is computed. In a block the
 * band is that of all its rows.
 *
 * As elsewhere where a mask is moved into a product, what it hides is taken for finite.
 */
#include "plan/nest.h"

#include <math.h>

typedef struct Finder {
    Planner *p;
    const Group *g;
    Index *row;
    Band band;   /* of any index, around the row */
    Map outside; /* Tensor* → double*: what it is outside of the band, along its second index */
} Finder;

/* ---- conditions --------------------------------------------------------------------------------
 */

/* The places at which a comparison of index - row with a number is false, as a band. */
static bool false_within(Op op, bool negative, int64_t offset, Band *band) {
    /* difference = index - row + offset, or row - index + offset when negative; compared with 0 */
    bool greater = op == OP_GT || op == OP_GE;
    if (!greater && op != OP_LT && op != OP_LE) return false;
    int64_t strict = op == OP_GT || op == OP_LT ? 0 : 1;
    if (greater != negative)
        *band = (Band){NULL, INT64_MIN, negative ? offset - strict : -offset - strict};
    else
        *band = (Band){NULL, negative ? offset + strict : strict - offset, INT64_MAX};
    return true;
}

static Op opposite(Op op) {
    if (op == OP_GT) return OP_LE;
    if (op == OP_GE) return OP_LT;
    if (op == OP_LT) return OP_GE;
    return op == OP_LE ? OP_GT : OPS;
}

/* A band outside of which the condition is `wanted`; false: there is none. */
static bool band_of(const Finder *f, const Expr *e, bool wanted, Index *index, Band *band) {
    if (e->kind != EX_OP) return false;
    if (e->op.op == OP_NOT) return band_of(f, e->op.args[0], !wanted, index, band);
    if (e->op.op == OP_AND || e->op.op == OP_OR) {
        Band a = {NULL, INT64_MIN, INT64_MAX}, b = a;
        bool has_a = band_of(f, e->op.args[0], wanted, index, &a);
        bool has_b = band_of(f, e->op.args[1], wanted, index, &b);
        bool one = (e->op.op == OP_OR) == wanted; /* of the two is enough */
        if (one ? !has_a && !has_b : !has_a || !has_b) return false;
        bool least = one;
        band->low = (a.low > b.low) == least ? a.low : b.low;
        band->high = (a.high < b.high) == least ? a.high : b.high;
        return true;
    }
    if (e->op.nargs != 2 || e->op.args[0]->type != TY_INT) return false;
    const Expr *d = ir_int_sub(f->p->ctx, e->op.args[0], e->op.args[1]);
    if (d->kind != EX_AFFINE || d->affine.nterms != 2) return false;
    int64_t along = 0, across = 0;
    for (uint32_t t = 0; t < 2; t++) {
        const Term *term = &d->affine.terms[t];
        if (term->atom->kind != EX_INDEX) return false;
        if (term->atom->index == index) along = term->coefficient;
        if (term->atom->index == f->row) across = term->coefficient;
    }
    if (along != -across || (along != 1 && along != -1)) return false;
    Op op = wanted ? e->op.op : opposite(e->op.op);
    return false_within(op, along < 0, d->affine.offset, band);
}

/* ---- values outside of the band ----------------------------------------------------------------
 */

/* Is the condition `wanted` outside of the finder's band? */
static bool holds(const Finder *f, const Expr *e, bool wanted, Index *index) {
    Band band;
    if (!band_of(f, e, wanted, index, &band)) return false;
    return band.low >= f->band.low && band.high <= f->band.high;
}

static double outside(const Finder *f, const Expr *e, Index *index);

/* What is not known is taken for finite. */
static double sum_outside(double a, double b) {
    if (isinf(a) && isnan(b)) return a;
    return isinf(b) && isnan(a) ? b : a + b;
}

static double outside_op(const Finder *f, const Expr *e, Index *index) {
    double a[3] = {NAN, NAN, NAN};
    Op op = e->op.op;
    if (e->type != TY_REAL) return NAN;
    if (op == OP_SELECT && holds(f, e->op.args[0], true, index))
        return outside(f, e->op.args[1], index);
    if (op == OP_SELECT && holds(f, e->op.args[0], false, index))
        return outside(f, e->op.args[2], index);
    for (uint32_t i = op == OP_SELECT; i < e->op.nargs; i++)
        a[i] = outside(f, e->op.args[i], index);
    if (op == OP_STOP) return a[0];
    if (op == OP_NEG) return -a[0];
    if (op == OP_EXP) return a[0] == -INFINITY ? 0 : NAN;
    if (op == OP_ADD) return sum_outside(a[0], a[1]);
    if (op == OP_SUB) return sum_outside(a[0], -a[1]);
    if (op == OP_MUL) return a[0] == 0 || a[1] == 0 ? 0 : a[0] * a[1];
    if (op == OP_DIV) return a[0] == 0 ? 0 : NAN;
    if (op == OP_SELECT) return a[1] == a[2] ? a[1] : NAN;
    return NAN;
}

/* What the expression is where the index is outside of the row's band; NAN: that is not known. */
static double outside(const Finder *f, const Expr *e, Index *index) {
    if (e->kind == EX_NUMBER) return e->number;
    if (e->kind == EX_OP) return outside_op(f, e, index);
    if (e->kind != EX_READ || e->read.otherwise || e->read.tensor->rank != 2) return NAN;
    const double *known = map_get(&f->outside, e->read.tensor);
    bool is_at = known && nest_plain_index(e->read.subs[0]) == f->row &&
                 nest_plain_index(e->read.subs[1]) == index;
    return is_at ? *known : NAN;
}

/* What the node reduces, or is. */
static double node_outside(const Finder *f, const Node *node, Index *index) {
    if (node->body) return outside(f, node->body, index);
    for (uint32_t i = 0; i < node->nfactors; i++)
        if (outside(f, node->factors[i], index) == 0) return 0;
    return NAN;
}

/* ---- the band ----------------------------------------------------------------------------------
 */

static bool is_long(const Finder *f, const Node *node) {
    return node->result->rank == 2 && node->at[0] == f->row;
}

/* Of an `if` that is a number outside of it. */
static bool find_band(Finder *f, const Node *node) {
    const Expr *e = node->body;
    if (!is_long(f, node) || node->reduces || e->kind != EX_OP || e->op.op != OP_SELECT)
        return false;
    for (uint32_t side = 0; side < 2; side++) {
        const Expr *value = e->op.args[1 + side];
        bool is_nothing =
            value->kind == EX_NUMBER && (value->number == 0 || value->number == -INFINITY);
        if (!is_nothing || !band_of(f, e->op.args[0], side == 0, node->at[1], &f->band)) continue;
        if (f->band.low != INT64_MIN || f->band.high != INT64_MAX) return true;
    }
    return false;
}

static void note_outside(Finder *f, const Draft *step) {
    for (uint32_t n = 0; n < step->nodes.len; n++) {
        const Node *node = step->nodes.at[n];
        if (!is_long(f, node)) continue;
        double value = node->reduces && plan_contains(node->over, node->nover, f->row)
                           ? NAN
                           : node_outside(f, node, node->at[1]);
        if (node->reduces && value != 0) value = NAN;
        double *known = arena_copy(f->p->ctx->arena, &value, sizeof value);
        if (!isnan(value)) map_set(f->p->ctx->scratch, &f->outside, node->result, known);
    }
}

/* ---- who leaves it out -------------------------------------------------------------------------
 */

static bool adds_nothing(const Finder *f, const Node *node, Index *index) {
    double value = node_outside(f, node, index);
    if (node->op == REDUCE_SUM) return value == 0;
    return node->op == REDUCE_MAX && value == -INFINITY;
}

/* Do the steps behind number `from` read the tensor within their bands alone? */
static bool is_read_within(const Finder *f, const Drafts *steps, uint32_t from,
                           const Tensor *tensor) {
    for (uint32_t i = from; i < steps->all.len; i++) {
        const Draft *step = steps->all.at[i];
        Reads reads = {0};
        nest_reads(f->p, step, &reads);
        for (uint32_t r = 0; r < reads.len; r++) {
            const Expr *e = reads.at[r];
            if (e->read.tensor != tensor) continue;
            Index *index = nest_plain_index(e->read.subs[1]);
            if (e->read.otherwise || !index || index != step->kernel->band.index) return false;
            if (nest_plain_index(e->read.subs[0]) != f->row) return false;
        }
    }
    return true;
}

static bool may_leave_out(const Finder *f, const Drafts *steps, uint32_t number, Index *index) {
    const Draft *step = steps->all.at[number];
    const Kernel *k = step->kernel;
    bool is_summed = plan_contains(k->over, k->nover, index);
    bool adds = plan_contains(k->over, k->nover, f->row);
    for (uint32_t n = 0; n < step->nodes.len; n++) {
        const Node *node = step->nodes.at[n];
        if (is_summed || adds) {
            if (node->reduces && !adds_nothing(f, node, index)) return false;
            continue;
        }
        if (!node->in_memory) continue; /* read at the same point alone */
        if (!node->is_of_turn || !is_long(f, node) || node->at[1] != index) return false;
        if (!is_read_within(f, steps, number + 1, node->result)) return false;
    }
    return true;
}

static void set_band(Finder *f, const Drafts *steps, uint32_t number) {
    Kernel *k = steps->all.at[number]->kernel;
    for (uint32_t i = 0; i < k->nfree + k->nover; i++) {
        Index *index = i < k->nfree ? k->free[i] : k->over[i - k->nfree];
        if (index == f->row || index->extent == EXTENT_BATCH) continue;
        if (!may_leave_out(f, steps, number, index)) continue;
        k->band = f->band;
        k->band.index = index;
        return;
    }
}

void nest_bands(const Group *g, const Draft *nest) {
    Finder f = {.p = g->p, .g = g, .row = g->members[0].outer[g->nouter - 1]};
    const Drafts *steps = nest->steps;
    bool found = false;
    for (uint32_t i = 0; i < steps->all.len && !found; i++)
        for (uint32_t n = 0; n < steps->all.at[i]->nodes.len && !found; n++)
            found = find_band(&f, steps->all.at[i]->nodes.at[n]);
    if (!found) return;
    for (uint32_t i = 0; i < steps->all.len; i++) note_outside(&f, steps->all.at[i]);
    for (uint32_t i = steps->all.len; i-- > 0;) set_band(&f, steps, i);
}
