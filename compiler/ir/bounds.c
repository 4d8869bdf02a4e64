/* ir/bounds.c: intervals of INT expressions.
 *
 * in:   an expression      out: the smallest interval that the algebra below can prove; exact for
 * affine expressions over a box of independent indices
 * Bounds saturate at IR_UNBOUNDED, which also stands for the unknown size of the batch.
 */
#include "ir/ir.h"

__extension__ typedef __int128 Wide;

typedef struct Interval {
    int64_t low, high;
} Interval;

static const Interval everything = {-IR_UNBOUNDED, IR_UNBOUNDED};

static bool is_infinite(int64_t v) {
    return v == IR_UNBOUNDED || v == -IR_UNBOUNDED;
}

static int64_t saturate(Wide v) {
    if (v >= IR_UNBOUNDED) return IR_UNBOUNDED;
    if (v <= -(Wide)IR_UNBOUNDED) return -IR_UNBOUNDED;
    return (int64_t)v;
}

/* Both are lower or both upper bounds, so opposite infinities do not meet. */
static int64_t plus(int64_t a, int64_t b) {
    if (is_infinite(a)) return a;
    if (is_infinite(b)) return b;
    return saturate((Wide)a + b);
}

static int64_t times(int64_t a, int64_t factor) {
    if (factor == 0) return 0;
    return saturate((Wide)a * factor);
}

static int64_t quotient(int64_t a, int64_t n) {
    if (is_infinite(a)) return a;
    int64_t q = a / n;
    return a % n < 0 ? q - 1 : q;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static Interval scaled(Interval a, int64_t factor) {
    int64_t x = times(a.low, factor), y = times(a.high, factor);
    return factor < 0 ? (Interval){y, x} : (Interval){x, y};
}

static Interval sum(Interval a, Interval b) {
    return (Interval){plus(a.low, b.low), plus(a.high, b.high)};
}

static Interval hull(Interval a, Interval b) {
    return (Interval){smaller(a.low, b.low), larger(a.high, b.high)};
}

static Interval remainder_of(Interval a, int64_t n) {
    int64_t q = quotient(a.low, n);
    if (is_infinite(a.low) || is_infinite(a.high) || q != quotient(a.high, n))
        return (Interval){0, n - 1};
    return (Interval){a.low - q * n, a.high - q * n};
}

static Interval positions(const Expr *e) {
    int64_t count = 1;
    for (uint32_t i = 0; i < e->reduce.nover; i++) {
        int64_t extent = e->reduce.over[i]->extent;
        count = extent == EXTENT_BATCH ? IR_UNBOUNDED : times(count, extent);
    }
    return (Interval){0, is_infinite(count) ? IR_UNBOUNDED : larger(count - 1, 0)};
}

/* `fuel` bounds the work on shared subexpressions, which may be reached in very many ways. */
static Interval bounds(const Expr *e, int *fuel);

static Interval bounds_of_op(const Expr *e, int *fuel) {
    const Expr *const *args = e->op.args;
    switch (e->op.op) {
    case OP_ADD: return sum(bounds(args[0], fuel), bounds(args[1], fuel));
    case OP_SUB: return sum(bounds(args[0], fuel), scaled(bounds(args[1], fuel), -1));
    case OP_NEG: return scaled(bounds(args[0], fuel), -1);
    case OP_STOP: return bounds(args[0], fuel);
    case OP_SELECT: return hull(bounds(args[1], fuel), bounds(args[2], fuel));
    case OP_MAX: {
        Interval a = bounds(args[0], fuel), b = bounds(args[1], fuel);
        return (Interval){larger(a.low, b.low), larger(a.high, b.high)};
    }
    case OP_MIN: {
        Interval a = bounds(args[0], fuel), b = bounds(args[1], fuel);
        return (Interval){smaller(a.low, b.low), smaller(a.high, b.high)};
    }
    case OP_ABS: {
        Interval a = bounds(args[0], fuel), b = scaled(a, -1);
        return (Interval){larger(0, larger(a.low, b.low)), larger(a.high, b.high)};
    }
    default: return everything;
    }
}

static Interval bounds(const Expr *e, int *fuel) {
    if (--*fuel < 0) return everything;
    switch (e->kind) {
    case EX_AFFINE: {
        Interval total = {e->affine.offset, e->affine.offset};
        for (uint32_t t = 0; t < e->affine.nterms; t++) {
            Interval atom = bounds(e->affine.terms[t].atom, fuel);
            total = sum(total, scaled(atom, e->affine.terms[t].coefficient));
        }
        return total;
    }
    case EX_INDEX: {
        int64_t extent = e->index->extent;
        return (Interval){0, extent == EXTENT_BATCH ? IR_UNBOUNDED : larger(extent - 1, 0)};
    }
    case EX_FLOORDIV: {
        Interval a = bounds(e->div.num, fuel);
        return (Interval){quotient(a.low, e->div.den), quotient(a.high, e->div.den)};
    }
    case EX_MOD: return remainder_of(bounds(e->div.num, fuel), e->div.den);
    case EX_REAL: return bounds(e->integer, fuel);
    case EX_OP: return bounds_of_op(e, fuel);
    case EX_READ: {
        if (e->read.tensor->classes <= 0) return everything;
        Interval classes = {0, e->read.tensor->classes - 1};
        if (!e->read.otherwise) return classes;
        return hull(classes, bounds(e->read.otherwise, fuel));
    }
    case EX_REDUCE:
        switch (e->reduce.op) {
        case REDUCE_ARGMAX:
        case REDUCE_ARGMIN: return positions(e);
        case REDUCE_MAX:
        case REDUCE_MIN: return bounds(e->reduce.body, fuel);
        case REDUCE_SUM:
        case REDUCE_PROD: return everything;
        }
        return everything;
    case EX_NUMBER:
    case EX_TRUTH:
    case EX_CONTRACT:
    case EX_DRAW:
    case EX_STEP:
    case EX_BATCH: return everything;
    }
    return everything;
}

void ir_bounds(const Expr *e, int64_t *low, int64_t *high) {
    int fuel = 10000;
    Interval found = bounds(e, &fuel);
    *low = found.low;
    *high = found.high;
}
