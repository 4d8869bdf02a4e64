/* ir/affine.c: proofs about INT expressions.
 *
 * in:   an expression and conditions known to hold      out: whether it stays in a range
 *
 * The negation of what is to be proved is added to what is known: ranges of the indices, the
 * conditions, and n*q <= a <= n*q + n-1 for each quotient q = floor(a/n). Fourier-Motzkin
 * elimination then looks for a contradiction over the rationals, where every row is first divided
 * by the gcd of its coefficients with its constant rounded down, which is what makes it know about
 * integers (Pugh, "The Omega test", CACM 1992). Disjunctions are split into cases. Every limit (of
 * variables, rows, cases, overflow) drops a fact, so that the answer "proved" is always right.
 */
#include "ir/passes.h"

enum {
    MAX_VARIABLES = 24,
    MAX_ROWS = 320,
    MAX_SPLITS = 16,
    MAX_CASES = 200,
    MAX_NESTING = 100,
    MAX_FACTS = 2000
};

/* Coefficients of the variables, then the constant. As a row: their sum is >= 0. */
typedef struct Linear {
    int64_t at[MAX_VARIABLES + 1];
} Linear;

typedef struct Rows {
    uint32_t n;
    Linear row[MAX_ROWS];
} Rows;

/* Either a condition that is a disjunction, or the definition of the variable of an atom. */
typedef struct Split {
    const Expr *e;
    bool truth;
    int variable; /* -1 for a condition */
} Split;

typedef struct System {
    const Expr
        *atoms[MAX_VARIABLES];       /* NULL for the size of the batch and of quotients of EX_MOD */
    const Expr *nums[MAX_VARIABLES]; /* of a quotient */
    int64_t dens[MAX_VARIABLES];
    uint32_t nvariables;
    int batch; /* the variable that is the size of the batch, or -1 */
    Split splits[MAX_SPLITS];
    uint32_t nsplits;
    int cases, nesting, facts; /* what is left of the limits */
    Rows rows;
} System;

static bool linear_of(System *s, const Expr *e, Linear *out);
static void assume(System *s, const Expr *condition, bool truth);

/* ---- rows ---- */

/* a += factor * b; false when that overflows. */
static bool accumulate(Linear *a, const Linear *b, int64_t factor) {
    for (uint32_t i = 0; i <= MAX_VARIABLES; i++) {
        int64_t product;
        if (__builtin_mul_overflow(b->at[i], factor, &product)) return false;
        if (__builtin_add_overflow(a->at[i], product, &a->at[i])) return false;
        if (a->at[i] == INT64_MIN) return false;
    }
    return true;
}

static void add_row(System *s, const Linear *row) {
    if (s->rows.n < MAX_ROWS) s->rows.row[s->rows.n++] = *row;
}

/* a - b + offset >= 0 */
static void require_order(System *s, const Linear *a, const Linear *b, int64_t offset) {
    Linear row = *a;
    if (!accumulate(&row, b, -1)) return;
    if (__builtin_add_overflow(row.at[MAX_VARIABLES], offset, &row.at[MAX_VARIABLES])) return;
    add_row(s, &row);
}

static void require_equal(System *s, const Linear *a, const Linear *b) {
    require_order(s, a, b, 0);
    require_order(s, b, a, 0);
}

static Linear constant(int64_t value) {
    Linear row = {{0}};
    row.at[MAX_VARIABLES] = value;
    return row;
}

static Linear variable(int number) {
    Linear row = {{0}};
    row.at[number] = 1;
    return row;
}

static int64_t gcd(int64_t a, int64_t b) {
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static int64_t floor_quotient(int64_t a, int64_t n) {
    int64_t q = a / n;
    return a % n < 0 ? q - 1 : q;
}

typedef enum Verdict { ROW_USEFUL, ROW_EMPTY, ROW_IMPOSSIBLE } Verdict;

static Verdict tighten(Linear *row) {
    int64_t common = 0;
    for (uint32_t v = 0; v < MAX_VARIABLES; v++) common = gcd(common, row->at[v]);
    if (common == 0) return row->at[MAX_VARIABLES] < 0 ? ROW_IMPOSSIBLE : ROW_EMPTY;
    for (uint32_t v = 0; v < MAX_VARIABLES; v++) row->at[v] /= common;
    row->at[MAX_VARIABLES] = floor_quotient(row->at[MAX_VARIABLES], common);
    return ROW_USEFUL;
}

/* ---- elimination ---- */

/* Adds a tightened row unless one at least as strong is there. False when the table is full. */
static bool insert(Rows *rows, const Linear *row) {
    for (uint32_t r = 0; r < rows->n; r++) {
        Linear *other = &rows->row[r];
        if (memcmp(other->at, row->at, MAX_VARIABLES * sizeof *row->at) != 0) continue;
        if (row->at[MAX_VARIABLES] < other->at[MAX_VARIABLES]) *other = *row;
        return true;
    }
    if (rows->n == MAX_ROWS) return false;
    rows->row[rows->n++] = *row;
    return true;
}

/* The variable whose elimination adds the fewest rows; -1 when none is left. */
static int cheapest(const Rows *rows, uint32_t nvariables) {
    int best = -1;
    int64_t best_cost = 0;
    for (uint32_t v = 0; v < nvariables; v++) {
        int64_t positive = 0, negative = 0;
        for (uint32_t r = 0; r < rows->n; r++) {
            positive += rows->row[r].at[v] > 0;
            negative += rows->row[r].at[v] < 0;
        }
        if (positive + negative == 0) continue;
        int64_t cost = positive * negative - positive - negative;
        if (best < 0 || cost < best_cost) best = (int)v, best_cost = cost;
    }
    return best;
}

/* Combines all pairs of rows in which v has opposite signs. Sets *impossible at a contradiction;
 * false when there is no room to go on. */
static bool eliminate(const Rows *rows, Rows *out, int v, bool *impossible) {
    out->n = 0;
    for (uint32_t r = 0; r < rows->n; r++)
        if (rows->row[r].at[v] == 0) out->row[out->n++] = rows->row[r];
    for (uint32_t p = 0; p < rows->n; p++) {
        int64_t up = rows->row[p].at[v];
        if (up <= 0) continue;
        for (uint32_t q = 0; q < rows->n; q++) {
            int64_t down = -rows->row[q].at[v];
            if (down <= 0) continue;
            int64_t common = gcd(up, down);
            Linear row = {{0}};
            if (!accumulate(&row, &rows->row[p], down / common)) continue;
            if (!accumulate(&row, &rows->row[q], up / common)) continue;
            Verdict verdict = tighten(&row);
            if (verdict == ROW_IMPOSSIBLE) return *impossible = true;
            if (verdict == ROW_USEFUL && !insert(out, &row)) return false;
        }
    }
    return true;
}

static bool rows_impossible(const System *s) {
    Rows tables[2];
    Rows *now = &tables[0], *next = &tables[1];
    now->n = 0;
    for (uint32_t r = 0; r < s->rows.n; r++) {
        Linear row = s->rows.row[r];
        Verdict verdict = tighten(&row);
        if (verdict == ROW_IMPOSSIBLE) return true;
        if (verdict == ROW_USEFUL) insert(now, &row);
    }
    for (int v; (v = cheapest(now, s->nvariables)) >= 0;) {
        bool impossible = false;
        if (!eliminate(now, next, v, &impossible)) return false;
        if (impossible) return true;
        Rows *swap = now;
        now = next;
        next = swap;
    }
    return false;
}

/* ---- from expressions to rows ---- */

static int new_variable(System *s, const Expr *atom) {
    if (s->nvariables == MAX_VARIABLES) return -1;
    int v = (int)s->nvariables++;
    s->atoms[v] = atom;
    s->nums[v] = NULL;
    return v;
}

static void add_split(System *s, const Expr *e, bool truth, int v) {
    if (s->nsplits < MAX_SPLITS) s->splits[s->nsplits++] = (Split){e, truth, v};
}

static int batch_variable(System *s) {
    if (s->batch >= 0) return s->batch;
    s->batch = new_variable(s, NULL);
    if (s->batch < 0) return -1;
    Linear size = variable(s->batch), one = constant(1);
    require_order(s, &size, &one, 0);
    return s->batch;
}

/* The size of a dimension. */
static bool linear_extent(System *s, int64_t extent, Linear *out) {
    if (extent != EXTENT_BATCH) {
        *out = constant(extent);
        return true;
    }
    int batch = batch_variable(s);
    if (batch < 0) return false;
    *out = variable(batch);
    return true;
}

static bool quotient_variable(System *s, const Expr *num, int64_t den, Linear *out) {
    for (uint32_t v = 0; v < s->nvariables; v++)
        if (s->nums[v] == num && s->dens[v] == den) {
            *out = variable((int)v);
            return true;
        }
    Linear a;
    if (!linear_of(s, num, &a)) return false;
    int v = new_variable(s, NULL);
    if (v < 0) return false;
    s->nums[v] = num;
    s->dens[v] = den;
    *out = variable(v);
    Linear product = {{0}};
    product.at[v] = den;
    require_order(s, &a, &product, 0);
    require_order(s, &product, &a, den - 1);
    return true;
}

static bool remainder_of(System *s, const Expr *e, Linear *out) {
    Linear q;
    if (!linear_of(s, e->div.num, out)) return false;
    return quotient_variable(s, e->div.num, e->div.den, &q) && accumulate(out, &q, -e->div.den);
}

/* The facts about a new variable that hold without a case distinction. */
static void define_atom(System *s, const Expr *atom, int v) {
    Linear value = variable(v), zero = constant(0);
    if (atom->kind == EX_INDEX) {
        Linear extent;
        require_order(s, &value, &zero, 0);
        if (linear_extent(s, atom->index->extent, &extent)) require_order(s, &extent, &value, -1);
        return;
    }
    int64_t low, high;
    ir_bounds(atom, &low, &high);
    Linear bound = constant(low);
    if (low > -IR_UNBOUNDED) require_order(s, &value, &bound, 0);
    bound = constant(high);
    if (high < IR_UNBOUNDED) require_order(s, &bound, &value, 0);
    if (atom->kind != EX_OP) return;
    if (atom->op.op == OP_SELECT) add_split(s, atom, true, v);
    if (atom->op.op != OP_MAX && atom->op.op != OP_MIN) return;
    add_split(s, atom, true, v);
    for (uint32_t i = 0; i < 2; i++) {
        Linear arg;
        if (!linear_of(s, atom->op.args[i], &arg)) continue;
        if (atom->op.op == OP_MAX) require_order(s, &value, &arg, 0);
        if (atom->op.op == OP_MIN) require_order(s, &arg, &value, 0);
    }
}

static bool linear_of_atom(System *s, const Expr *atom, Linear *out) {
    if (atom->kind == EX_AFFINE) return linear_of(s, atom, out);
    if (atom->kind == EX_FLOORDIV) return quotient_variable(s, atom->div.num, atom->div.den, out);
    if (atom->kind == EX_MOD) return remainder_of(s, atom, out);
    int v = -1;
    for (uint32_t i = 0; i < s->nvariables && v < 0; i++)
        if (s->atoms[i] == atom) v = (int)i;
    if (v < 0) {
        v = new_variable(s, atom);
        if (v < 0) return false;
        define_atom(s, atom, v);
    }
    *out = variable(v);
    return true;
}

/* False when it does not fit: nothing is then known of e. */
static bool linear_of(System *s, const Expr *e, Linear *out) {
    if (s->nesting >= MAX_NESTING) return false;
    s->nesting++;
    bool done = true;
    if (e->kind == EX_AFFINE) {
        *out = constant(e->affine.offset);
        for (uint32_t t = 0; done && t < e->affine.nterms; t++) {
            Linear atom;
            done = linear_of_atom(s, e->affine.terms[t].atom, &atom) &&
                   accumulate(out, &atom, e->affine.terms[t].coefficient);
        }
    } else
        done = e->type == TY_INT && linear_of_atom(s, e, out);
    s->nesting--;
    return done;
}

/* A side of a comparison, when it is a whole number. */
static bool linear_side(System *s, const Expr *e, Linear *out) {
    if (e->type == TY_INT) return linear_of(s, e, out);
    if (e->kind == EX_REAL) return linear_of(s, e->integer, out);
    if (e->kind == EX_BATCH) return linear_extent(s, EXTENT_BATCH, out);
    if (e->kind != EX_NUMBER || !(e->number > -1e15 && e->number < 1e15)) return false;
    if ((double)(int64_t)e->number != e->number) return false;
    *out = constant((int64_t)e->number);
    return true;
}

static void assume_comparison(System *s, const Expr *condition, bool truth) {
    static const Op negated[] = {[OP_EQ] = OP_NE, [OP_NE] = OP_EQ, [OP_LT] = OP_GE,
                                 [OP_LE] = OP_GT, [OP_GT] = OP_LE, [OP_GE] = OP_LT};
    Op op = truth ? condition->op.op : negated[condition->op.op];
    Linear a, b;
    if (!linear_side(s, condition->op.args[0], &a) || !linear_side(s, condition->op.args[1], &b))
        return;
    if (op == OP_EQ) require_equal(s, &a, &b);
    if (op == OP_NE) add_split(s, condition, truth, -1);
    if (op == OP_LT) require_order(s, &b, &a, -1);
    if (op == OP_LE) require_order(s, &b, &a, 0);
    if (op == OP_GT) require_order(s, &a, &b, -1);
    if (op == OP_GE) require_order(s, &a, &b, 0);
}

static void assume_op(System *s, const Expr *condition, bool truth) {
    switch (condition->op.op) {
    case OP_NOT: assume(s, condition->op.args[0], !truth); return;
    case OP_STOP: assume(s, condition->op.args[0], truth); return;
    case OP_AND:
    case OP_OR:
        if ((condition->op.op == OP_AND) != truth) {
            add_split(s, condition, truth, -1);
            return;
        }
        assume(s, condition->op.args[0], truth);
        assume(s, condition->op.args[1], truth);
        return;
    case OP_SELECT: add_split(s, condition, truth, -1); return;
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE: assume_comparison(s, condition, truth); return;
    default: return;
    }
}

static void assume(System *s, const Expr *condition, bool truth) {
    if (s->nesting >= MAX_NESTING || --s->facts < 0) return;
    s->nesting++;
    if (condition->kind == EX_TRUTH && condition->truth != truth) {
        Linear impossible = constant(-1);
        add_row(s, &impossible);
    }
    if (condition->kind == EX_OP) assume_op(s, condition, truth);
    s->nesting--;
}

/* ---- cases ---- */

static void assume_value(System *s, int v, const Expr *value) {
    Linear left = variable(v), right;
    if (linear_of(s, value, &right)) require_equal(s, &left, &right);
}

static void assume_order(System *s, const Expr *high, const Expr *low, int64_t offset) {
    Linear a, b;
    if (linear_side(s, high, &a) && linear_side(s, low, &b)) require_order(s, &a, &b, offset);
}

/* The first (which = 0) or second of the two cases of a split. */
static void assume_case(System *s, Split split, int which) {
    const Expr *const *args = split.e->op.args;
    Op op = split.e->op.op;
    if (op == OP_SELECT) {
        assume(s, args[0], which == 0);
        if (split.variable >= 0) assume_value(s, split.variable, args[1 + which]);
        if (split.variable < 0) assume(s, args[1 + which], split.truth);
        return;
    }
    if (op == OP_AND || op == OP_OR) {
        assume(s, args[which], split.truth);
        return;
    }
    if (op == OP_MAX || op == OP_MIN) {
        bool swap = op == OP_MAX ? which == 1 : which == 0;
        assume_value(s, split.variable, args[which]);
        assume_order(s, args[swap], args[!swap], 0);
        return;
    }
    assume_order(s, args[which], args[!which], -1); /* the two differ */
}

static bool impossible(System *s, uint32_t next) {
    if (rows_impossible(s)) return true;
    if (next == s->nsplits || --s->cases < 0) return false;
    uint32_t nrows = s->rows.n, nvariables = s->nvariables, nsplits = s->nsplits;
    int batch = s->batch;
    bool all = true;
    for (int which = 0; all && which < 2; which++) {
        assume_case(s, s->splits[next], which);
        all = impossible(s, next + 1);
        s->rows.n = nrows;
        s->nvariables = nvariables;
        s->nsplits = nsplits;
        s->batch = batch;
    }
    return all;
}

/* ---- the questions ---- */

static bool never(const Expr *e, bool negative, int64_t extent, const Expr *const *known,
                  uint32_t nknown) {
    System s;
    s.nvariables = s.nsplits = s.rows.n = 0;
    s.batch = -1;
    s.cases = MAX_CASES;
    s.nesting = 0;
    s.facts = MAX_FACTS;
    Linear value, limit;
    if (!linear_of(&s, e, &value)) return false;
    if (!negative && !linear_extent(&s, extent, &limit)) return false;
    if (negative) {
        Linear zero = constant(0);
        require_order(&s, &zero, &value, -1);
    } else
        require_order(&s, &value, &limit, 0);
    for (uint32_t i = 0; i < nknown; i++) assume(&s, known[i], true);
    return impossible(&s, 0);
}

/* Only independent atoms: then the interval is attained and nothing more can be proved. */
static bool is_box(const Expr *e) {
    if (e->kind != EX_AFFINE) return false;
    for (uint32_t t = 0; t < e->affine.nterms; t++) {
        const Expr *atom = e->affine.terms[t].atom;
        if (atom->kind == EX_INDEX && atom->index->extent == EXTENT_BATCH) return false;
        if (atom->kind != EX_INDEX && atom->kind != EX_READ) return false;
    }
    return true;
}

/* The most frequent question has the shortest answer. */
static bool is_example(const Expr *e) {
    const Expr *atom = ir_unwrap(e);
    return atom->kind == EX_INDEX && atom->index->extent == EXTENT_BATCH;
}

bool ir_inside(Ctx *ctx, const Expr *e, int64_t extent, const Expr *const *known, uint32_t nknown) {
    int64_t low, high;
    if (extent == EXTENT_BATCH && is_example(e)) return true;
    ir_bounds(e, &low, &high);
    bool below = extent != EXTENT_BATCH && high < extent && high != IR_UNBOUNDED;
    if (low >= 0 && below) return true;
    if (nknown == 0 && extent != EXTENT_BATCH && is_box(e)) return false;
    if (low < 0 && !never(e, true, 0, known, nknown)) return false;
    return below || never(e, false, extent, known, nknown);
}

bool ir_never_negative(Ctx *ctx, const Expr *e, const Expr *const *known, uint32_t nknown) {
    int64_t low, high;
    ir_bounds(e, &low, &high);
    return low >= 0 || never(e, true, 0, known, nknown);
}
