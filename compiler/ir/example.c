/* ir/example.c: where a subscript fails.
 *
 * in:   a subscript that is not proved inside its dimension, and what is known at the place
 * out:  values of the indices at which it is outside, for the message
 * Corners of the ranges first, then the values near them and near the constants of the conditions,
 * then a fixed sequence of random points. Conditions that depend on data may hold.
 */
#include "ir/passes.h"

enum { MAX_ATOMS = 32, MAX_CHOICES = 24, MAX_TRIES = 60000 };

typedef struct Search {
    Ctx *ctx;
    const Expr *e;
    int64_t extent;
    const Expr *const *known;
    uint32_t nknown;
    const Expr *atoms[MAX_ATOMS]; /* indices, and what depends on data */
    int64_t low[MAX_ATOMS], high[MAX_ATOMS], value[MAX_ATOMS];
    uint32_t natoms;
    bool too_many;
    Map seen;
    int64_t batch;
    bool has_batch;
    int64_t constants[MAX_CHOICES];
    uint32_t nconstants;
    int tries, fuel;
    int64_t found;
} Search;

/* ---- collecting the variables ---- */

static void collect(void *data, const Expr *e);

static void add_atom(Search *s, const Expr *atom) {
    if (s->natoms == MAX_ATOMS) {
        s->too_many = true;
        return;
    }
    s->atoms[s->natoms++] = atom;
    if (atom->kind == EX_INDEX && atom->index->extent == EXTENT_BATCH) s->has_batch = true;
}

static void add_constant(Search *s, int64_t value) {
    if (value > INT32_MAX || value < -INT32_MAX) return;
    for (uint32_t i = 0; i < s->nconstants; i++)
        if (s->constants[i] == value) return;
    if (s->nconstants < MAX_CHOICES) s->constants[s->nconstants++] = value;
}

static void collect(void *data, const Expr *e) {
    Search *s = data;
    if (map_has(&s->seen, e)) return;
    map_set(s->ctx->arena, &s->seen, e, s);
    if (e->kind == EX_INDEX) add_atom(s, e);
    if (e->kind == EX_AFFINE) add_constant(s, e->affine.offset);
    if (e->kind == EX_BATCH) s->has_batch = true;
    if (e->kind == EX_READ && e->type == TY_INT) add_atom(s, e);
    if (e->kind == EX_REDUCE && e->type == TY_INT) add_atom(s, e);
    if (ir_is_reduction(e)) return;
    ir_each_child(e, collect, s);
}

/* ---- evaluating; false: unknown ---- */

static bool value_of(Search *s, const Expr *e, int64_t *out);
static int truth_of(Search *s, const Expr *e); /* -1: unknown */

static bool value_of_affine(Search *s, const Expr *e, int64_t *out) {
    int64_t total = e->affine.offset;
    for (uint32_t t = 0; t < e->affine.nterms; t++) {
        int64_t atom;
        if (!value_of(s, e->affine.terms[t].atom, &atom)) return false;
        if (__builtin_mul_overflow(atom, e->affine.terms[t].coefficient, &atom)) return false;
        if (__builtin_add_overflow(total, atom, &total)) return false;
    }
    *out = total;
    return true;
}

static bool value_of_op(Search *s, const Expr *e, int64_t *out) {
    int64_t a, b;
    if (e->op.op == OP_SELECT) {
        int truth = truth_of(s, e->op.args[0]);
        return truth >= 0 && value_of(s, e->op.args[truth ? 1 : 2], out);
    }
    if (e->op.op != OP_MAX && e->op.op != OP_MIN) return false;
    if (!value_of(s, e->op.args[0], &a) || !value_of(s, e->op.args[1], &b)) return false;
    *out = (e->op.op == OP_MAX) == (a > b) ? a : b;
    return true;
}

static bool value_of(Search *s, const Expr *e, int64_t *out) {
    if (--s->fuel < 0) return false;
    for (uint32_t i = 0; i < s->natoms; i++)
        if (s->atoms[i] == e) {
            *out = s->value[i];
            return true;
        }
    if (e->kind == EX_AFFINE) return value_of_affine(s, e, out);
    if (e->kind == EX_REAL) return value_of(s, e->integer, out);
    if (e->kind == EX_BATCH) {
        *out = s->batch;
        return true;
    }
    if (e->kind == EX_NUMBER && e->number > -1e15 && e->number < 1e15) {
        *out = (int64_t)e->number;
        return (double)*out == e->number;
    }
    if (e->kind == EX_OP) return value_of_op(s, e, out);
    if (e->kind != EX_FLOORDIV && e->kind != EX_MOD) return false;
    int64_t a, n = e->div.den;
    if (!value_of(s, e->div.num, &a)) return false;
    int64_t q = a / n - (a % n < 0);
    *out = e->kind == EX_FLOORDIV ? q : a - n * q;
    return true;
}

static int compare(Search *s, const Expr *e) {
    int64_t a, b;
    if (!value_of(s, e->op.args[0], &a) || !value_of(s, e->op.args[1], &b)) return -1;
    switch (e->op.op) {
    case OP_EQ: return a == b;
    case OP_NE: return a != b;
    case OP_LT: return a < b;
    case OP_LE: return a <= b;
    case OP_GT: return a > b;
    case OP_GE: return a >= b;
    default: return -1;
    }
}

static int truth_of(Search *s, const Expr *e) {
    if (--s->fuel < 0) return -1;
    if (e->kind == EX_TRUTH) return e->truth;
    if (e->kind != EX_OP) return -1;
    int a, b;
    switch (e->op.op) {
    case OP_NOT: a = truth_of(s, e->op.args[0]); return a < 0 ? -1 : !a;
    case OP_AND:
    case OP_OR: {
        int strong = e->op.op == OP_OR;
        a = truth_of(s, e->op.args[0]);
        b = truth_of(s, e->op.args[1]);
        if (a == strong || b == strong) return strong;
        return a < 0 || b < 0 ? -1 : !strong;
    }
    case OP_SELECT:
        a = truth_of(s, e->op.args[0]);
        return a < 0 ? -1 : truth_of(s, e->op.args[a ? 1 : 2]);
    default: return compare(s, e);
    }
}

/* ---- searching ---- */

static bool fails_here(Search *s) {
    s->tries++;
    s->fuel = 2000;
    int64_t value;
    if (!value_of(s, s->e, &value)) return false;
    int64_t extent = s->extent == EXTENT_BATCH ? s->batch : s->extent;
    if (value >= 0 && value < extent) return false;
    for (uint32_t i = 0; i < s->nknown; i++)
        if (truth_of(s, s->known[i]) == 0) return false;
    s->found = value;
    return true;
}

static void set_batch(Search *s, int64_t batch) {
    s->batch = batch;
    for (uint32_t i = 0; i < s->natoms; i++) {
        const Expr *atom = s->atoms[i];
        s->low[i] = 0;
        if (atom->kind == EX_INDEX)
            s->high[i] = atom->index->extent == EXTENT_BATCH ? batch - 1 : atom->index->extent - 1;
        else
            ir_bounds(atom, &s->low[i], &s->high[i]);
        if (s->high[i] > INT32_MAX) s->high[i] = INT32_MAX;
        if (s->low[i] < -INT32_MAX) s->low[i] = -INT32_MAX;
    }
}

/* All combinations, the last atom varying fastest. */
static bool enumerate(Search *s, int64_t (*choices)[MAX_CHOICES], const uint32_t *counts,
                      int limit) {
    uint32_t at[MAX_ATOMS] = {0};
    for (uint32_t i = 0; i < s->natoms; i++) s->value[i] = choices[i][0];
    for (int tries = 0; tries < limit; tries++) {
        if (fails_here(s)) return true;
        uint32_t i = s->natoms;
        while (i > 0 && at[i - 1] + 1 == counts[i - 1]) {
            i--;
            at[i] = 0;
            s->value[i] = choices[i][0];
        }
        if (i == 0) return false;
        s->value[i - 1] = choices[i - 1][++at[i - 1]];
    }
    return false;
}

static void choose(int64_t *choices, uint32_t *count, int64_t value, int64_t low, int64_t high) {
    if (value < low || value > high || *count == MAX_CHOICES) return;
    for (uint32_t i = 0; i < *count; i++)
        if (choices[i] == value) return;
    choices[(*count)++] = value;
}

static bool try_corners(Search *s) {
    int64_t choices[MAX_ATOMS][MAX_CHOICES];
    uint32_t counts[MAX_ATOMS] = {0};
    for (uint32_t i = 0; i < s->natoms; i++) {
        choose(choices[i], &counts[i], s->low[i], s->low[i], s->high[i]);
        choose(choices[i], &counts[i], s->high[i], s->low[i], s->high[i]);
    }
    return enumerate(s, choices, counts, 4096);
}

static bool try_near(Search *s) {
    int64_t choices[MAX_ATOMS][MAX_CHOICES];
    uint32_t counts[MAX_ATOMS] = {0};
    for (uint32_t i = 0; i < s->natoms; i++) {
        int64_t low = s->low[i], high = s->high[i];
        if (high - low < MAX_CHOICES) {
            for (int64_t v = low; v <= high; v++) choose(choices[i], &counts[i], v, low, high);
            continue;
        }
        for (int64_t d = 0; d < 3; d++) choose(choices[i], &counts[i], low + d, low, high);
        for (int64_t d = 0; d < 3; d++) choose(choices[i], &counts[i], high - d, low, high);
        choose(choices[i], &counts[i], low + (high - low) / 2, low, high);
        for (uint32_t c = 0; c < s->nconstants; c++)
            for (int64_t d = -1; d <= 1; d++) {
                choose(choices[i], &counts[i], s->constants[c] + d, low, high);
                choose(choices[i], &counts[i], d - s->constants[c], low, high);
            }
    }
    return enumerate(s, choices, counts, MAX_TRIES);
}

static bool try_random(Search *s) {
    uint64_t state = 0x9E3779B97F4A7C15u;
    for (int tries = 0; tries < MAX_TRIES / 4; tries++) {
        for (uint32_t i = 0; i < s->natoms; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            uint64_t range = (uint64_t)(s->high[i] - s->low[i]) + 1;
            s->value[i] = s->low[i] + (int64_t)((state >> 24) % range);
        }
        if (fails_here(s)) return true;
    }
    return false;
}

static bool search(Search *s) {
    static const int64_t batches[] = {1, 2, 3, 4, 8};
    uint32_t nbatches = s->has_batch ? sizeof batches / sizeof *batches : 1;
    bool (*const ways[])(Search *) = {try_corners, try_near, try_random};
    for (uint32_t way = 0; way < 3; way++)
        for (uint32_t b = 0; b < nbatches; b++) {
            set_batch(s, batches[b]);
            if (ways[way](s)) return true;
        }
    return false;
}

int ir_outside_example(Ctx *ctx, const Expr *e, int64_t extent, const Expr *const *known,
                       uint32_t nknown, Index **indices, int64_t *values, int max, int64_t *value) {
    Search s = {.ctx = ctx, .e = e, .extent = extent, .known = known, .nknown = nknown};
    s.has_batch = extent == EXTENT_BATCH;
    collect(&s, e);
    uint32_t own = s.natoms;
    for (uint32_t i = 0; i < nknown; i++) collect(&s, known[i]);
    if (s.too_many || !search(&s)) return -1;
    int n = 0;
    for (uint32_t i = 0; i < own && n < max; i++) {
        if (s.atoms[i]->kind != EX_INDEX) continue;
        indices[n] = s.atoms[i]->index;
        values[n++] = s.value[i];
    }
    *value = s.found;
    return n;
}
