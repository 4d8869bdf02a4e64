/* ir/eval.c: the slow interpreter in double precision: what tests compare everything else with.
 *
 * in:   an ordered module and the values of its leaves      out: the values of all equations
 * Every element is computed by walking its expression. Within one equation a node is computed again
 * only when an index that it depends on has moved. Branches of `if` that are not chosen are not
 * looked at; a read outside its tensor without `else` is a bug of ours.
 */
#include "ir/passes.h"

#include <math.h>

enum { LAST_SLOT = 63 };

typedef struct Node {
    const Expr *e;
    uint64_t needs; /* a bit for the slot of each index it depends on */
    uint64_t time;  /* when `value` was computed */
    double value;
} Node;

typedef struct Eval {
    Ctx *ctx;
    IrValues *values;
    const Equation *equation;
    Map numbers; /* const Expr* → its number + 1 in nodes */
    Vec(Node) nodes;
    Map slots;      /* Index* → slot + 1; indices beyond LAST_SLOT share it */
    int64_t *index; /* by number in slots */
    uint64_t moved[LAST_SLOT + 1];
    uint64_t clock;
} Eval;

static double value_of(Eval *v, const Expr *e);

/* ---- random numbers ---- */

static void philox(uint32_t counter[4], uint32_t key[2]) {
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xd2511f53u * counter[0], b = (uint64_t)0xcd9e8d57u * counter[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ counter[1] ^ key[0], (uint32_t)b,
                            (uint32_t)(a >> 32) ^ counter[3] ^ key[1], (uint32_t)a};
        memcpy(counter, next, sizeof next);
        key[0] += 0x9e3779b9u;
        key[1] += 0xbb67ae85u;
    }
}

double ir_draw_value(DrawKind kind, uint64_t seed, uint64_t step, uint32_t site, uint64_t counter) {
    const double two_pi = 6.283185307179586;
    uint32_t words[4] = {(uint32_t)counter, site, (uint32_t)step, (uint32_t)(step >> 32)};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    philox(words, key);
    if (kind == DRAW_UNIFORM) return (double)(words[0] >> 8) * 0x1p-24;
    double u = (double)((words[0] >> 8) + 1) * 0x1p-24, w = (double)(words[1] >> 8) * 0x1p-24;
    return sqrt(-2 * log(u)) * cos(two_pi * w);
}

/* ---- indices ---- */

static uint32_t number_of(Eval *v, const Index *index) {
    uintptr_t number = (uintptr_t)map_get(&v->slots, index);
    if (number) return (uint32_t)number - 1;
    map_set(v->ctx->arena, &v->slots, index, (void *)(uintptr_t)(v->slots.len + 1));
    return v->slots.len - 1;
}

static uint32_t slot_of(uint32_t number) {
    return number < LAST_SLOT ? number : LAST_SLOT;
}

static void set_index(Eval *v, const Index *index, int64_t value) {
    uint32_t number = number_of(v, index);
    v->index[number] = value;
    v->moved[slot_of(number)] = ++v->clock;
}

static int64_t extent_of(const Eval *v, int64_t extent) {
    return extent == EXTENT_BATCH ? v->values->batch : extent;
}

/* Moves the indices to the next point in row-major order; false behind the last one. */
static bool advance(Eval *v, Index *const *indices, uint32_t n, const Index *but) {
    for (uint32_t i = n; i-- > 0;) {
        if (indices[i] == but) continue;
        int64_t next = v->index[number_of(v, indices[i])] + 1;
        bool more = next < extent_of(v, indices[i]->extent);
        set_index(v, indices[i], more ? next : 0);
        if (more) return true;
    }
    return false;
}

/* To the first point; false when there is none. */
static bool begin(Eval *v, Index *const *indices, uint32_t n, const Index *but) {
    bool some = true;
    for (uint32_t i = 0; i < n; i++) {
        if (indices[i] == but) continue;
        if (extent_of(v, indices[i]->extent) < 1) some = false;
        set_index(v, indices[i], 0);
    }
    return some;
}

/* ---- elements ---- */

static double *elements_of(Eval *v, const Tensor *tensor) {
    double *elements = map_get(&v->values->arrays, tensor);
    if (!elements) DLC_BUG(v->ctx, tensor->span, "`%s` has no values", tensor->name);
    return elements;
}

static double read_value(Eval *v, const Expr *e) {
    const Tensor *tensor = e->read.tensor;
    int64_t at = 0;
    for (uint32_t d = 0; d < tensor->rank; d++) {
        int64_t dim = extent_of(v, tensor->dims[d]);
        double sub = value_of(v, e->read.subs[d]);
        bool inside = sub >= 0 && sub < (double)dim;
        if (!inside && e->read.otherwise) return value_of(v, e->read.otherwise);
        if (!inside) {
            Text text = text_new(v->ctx->arena);
            ir_print_expr(&text, e);
            DLC_BUG(v->ctx, v->equation->span, "`%s` in `%s` reads at %g of %lld",
                    text_string(&text), v->equation->result->name, sub, (long long)dim);
        }
        at = at * dim + (int64_t)sub;
    }
    return elements_of(v, tensor)[at];
}

static void store(Eval *v, double value) {
    const Tensor *result = v->equation->result;
    int64_t at = 0;
    for (uint32_t d = 0; d < result->rank; d++)
        at = at * extent_of(v, result->dims[d]) + v->index[number_of(v, v->equation->free[d])];
    if (result->classes)
        DLC_ASSERT(v->ctx, value >= 0 && value < (double)result->classes, v->equation->span);
    elements_of(v, result)[at] = value;
}

/* ---- nodes ---- */

static double op_value(Eval *v, const Expr *e) {
    const Expr *const *args = e->op.args;
    double a = value_of(v, args[0]), b = 0;
    if (e->op.op == OP_SELECT) return value_of(v, args[a != 0 ? 1 : 2]);
    if (e->op.nargs > 1) b = value_of(v, args[1]);
    switch (e->op.op) {
    case OP_ADD: return a + b;
    case OP_SUB: return a - b;
    case OP_MUL: return a * b;
    case OP_DIV: return a / b;
    case OP_NEG: return -a;
    case OP_POW: return pow(a, b);
    case OP_MAX: return a > b ? a : b;
    case OP_MIN: return a < b ? a : b;
    case OP_ABS: return fabs(a);
    case OP_SIGN: return (a > 0) - (a < 0);
    case OP_FLOOR: return floor(a);
    case OP_SQRT: return sqrt(a);
    case OP_EXP: return exp(a);
    case OP_LOG: return log(a);
    case OP_LOG1P: return log1p(a);
    case OP_EXPM1: return expm1(a);
    case OP_LOGISTIC: return 1 / (1 + exp(-a));
    case OP_LOG1PEXP: return a > 0 ? a + log1p(exp(-a)) : log1p(exp(a));
    case OP_TANH: return tanh(a);
    case OP_SIN: return sin(a);
    case OP_COS: return cos(a);
    case OP_ERF: return erf(a);
    case OP_STOP: return a;
    case OP_EQ: return a == b;
    case OP_NE: return a != b;
    case OP_LT: return a < b;
    case OP_LE: return a <= b;
    case OP_GT: return a > b;
    case OP_GE: return a >= b;
    case OP_AND: return a != 0 && b != 0;
    case OP_OR: return a != 0 || b != 0;
    case OP_NOT: return a == 0;
    case OP_SELECT:
    case OPS: return 0;
    }
    return 0;
}

static double reduce_value(Eval *v, const Expr *e) {
    ReduceOp op = e->reduce.op;
    double best = op == REDUCE_PROD ? 1 : op == REDUCE_SUM ? 0 : -INFINITY;
    double position = 0, found = 0;
    if (op == REDUCE_MIN || op == REDUCE_ARGMIN) best = INFINITY;
    if (!begin(v, e->reduce.over, e->reduce.nover, NULL)) return op >= REDUCE_ARGMAX ? 0 : best;
    do {
        double x = value_of(v, e->reduce.body);
        bool better = op == REDUCE_MAX || op == REDUCE_ARGMAX ? x > best : x < best;
        if (op == REDUCE_SUM)
            best += x;
        else if (op == REDUCE_PROD)
            best *= x;
        else if (better)
            best = x, found = position;
        position++;
    } while (advance(v, e->reduce.over, e->reduce.nover, NULL));
    return op >= REDUCE_ARGMAX ? found : best;
}

static double contract_value(Eval *v, const Expr *e) {
    double sum = 0;
    if (!begin(v, e->contract.over, e->contract.nover, NULL)) return 0;
    do {
        double product = 1;
        for (uint32_t i = 0; i < e->contract.nfactors; i++)
            product *= value_of(v, e->contract.factors[i]);
        sum += product;
    } while (advance(v, e->contract.over, e->contract.nover, NULL));
    return sum;
}

static double affine_value(Eval *v, const Expr *e) {
    double sum = (double)e->affine.offset;
    for (uint32_t i = 0; i < e->affine.nterms; i++)
        sum += (double)e->affine.terms[i].coefficient * value_of(v, e->affine.terms[i].atom);
    return sum;
}

static double compute(Eval *v, const Expr *e) {
    switch (e->kind) {
    case EX_NUMBER: return e->number;
    case EX_TRUTH: return e->truth;
    case EX_AFFINE: return affine_value(v, e);
    case EX_INDEX: return (double)v->index[number_of(v, e->index)];
    case EX_FLOORDIV: return floor(value_of(v, e->div.num) / (double)e->div.den);
    case EX_MOD: {
        double num = value_of(v, e->div.num), den = (double)e->div.den;
        return num - den * floor(num / den);
    }
    case EX_REAL: return value_of(v, e->integer);
    case EX_OP: return op_value(v, e);
    case EX_READ: return read_value(v, e);
    case EX_REDUCE: return reduce_value(v, e);
    case EX_CONTRACT: return contract_value(v, e);
    case EX_DRAW:
        return ir_draw_value(e->draw.kind, v->values->seed, v->values->step, e->draw.site,
                             (uint64_t)(int64_t)value_of(v, e->draw.counter));
    case EX_STEP: return (double)v->values->step;
    case EX_BATCH: return (double)v->values->batch;
    }
    return 0;
}

static double value_of(Eval *v, const Expr *e) {
    uintptr_t number = (uintptr_t)map_get(&v->numbers, e);
    Node *node = &v->nodes.at[number - 1];
    bool current = node->time > 0;
    for (uint64_t needs = node->needs; current && needs; needs &= needs - 1)
        if (v->moved[__builtin_ctzll(needs)] > node->time) current = false;
    if (current) return node->value;
    node->value = compute(v, e);
    node->time = v->clock;
    return node->value;
}

/* ---- equations ---- */

typedef struct Needs {
    Eval *v;
    uint64_t needs;
} Needs;

static void gather_needs(void *data, const Expr *child) {
    Needs *n = data;
    uintptr_t number = (uintptr_t)map_get(&n->v->numbers, child);
    n->needs |= n->v->nodes.at[number - 1].needs;
}

static void add_node(void *data, const Expr *e) {
    Eval *v = data;
    Needs n = {.v = v};
    if (e->kind == EX_INDEX) n.needs = (uint64_t)1 << slot_of(number_of(v, e->index));
    ir_each_child(e, gather_needs, &n);
    Index *const *over = e->kind == EX_CONTRACT ? e->contract.over : NULL;
    uint32_t nover = e->kind == EX_CONTRACT ? e->contract.nover : 0;
    if (e->kind == EX_REDUCE) over = e->reduce.over, nover = e->reduce.nover;
    for (uint32_t i = 0; i < nover; i++) {
        uint32_t slot = slot_of(number_of(v, over[i]));
        if (slot < LAST_SLOT) n.needs &= ~((uint64_t)1 << slot);
    }
    Node node = {.e = e, .needs = n.needs};
    vec_push(v->ctx->arena, &v->nodes, node);
    map_set(v->ctx->arena, &v->numbers, e, (void *)(uintptr_t)v->nodes.len);
}

static Eval *prepare(Ctx *ctx, IrValues *values, const Equation *equation) {
    Eval *v = ARENA_NEW(ctx->arena, Eval);
    *v = (Eval){.ctx = ctx, .values = values, .equation = equation, .clock = 1};
    for (uint32_t d = 0; d < equation->result->rank; d++) number_of(v, equation->free[d]);
    ir_visit(ctx, equation->body, add_node, v);
    v->index = ARENA_ARRAY(ctx->arena, int64_t, v->slots.len + 1);
    return v;
}

/* All elements, or those at one time of a recurrence. */
static void run(Eval *v, const Index *time, int64_t now) {
    uint32_t rank = v->equation->result->rank;
    for (uint32_t i = 0; i < v->nodes.len; i++) v->nodes.at[i].time = 0;
    if (!begin(v, v->equation->free, rank, time)) return;
    if (time) set_index(v, time, now);
    do store(v, value_of(v, v->equation->body));
    while (advance(v, v->equation->free, rank, time));
}

static void allocate(Ctx *ctx, IrValues *values, const Tensor *tensor) {
    if (map_has(&values->arrays, tensor)) return;
    int64_t n = tensor_elements(tensor, values->batch);
    double *elements = ARENA_ARRAY(ctx->arena, double, (size_t)n + 1);
    map_set(ctx->arena, &values->arrays, tensor, elements);
}

static void run_scan(Eval *const *evals, uint32_t n) {
    const Scan *scan = &evals[0]->equation->scan;
    int64_t extent = evals[0]->equation->free[scan->dim]->extent;
    for (int64_t i = 0; i < extent; i++)
        for (uint32_t k = 0; k < n; k++) {
            const Equation *equation = evals[k]->equation;
            int64_t now = scan->direction > 0 ? i : extent - 1 - i;
            run(evals[k], equation->free[equation->scan.dim], now);
        }
}

void ir_eval(Ctx *ctx, const Module *m, IrValues *values) {
    uint32_t n = m->equations.len;
    Eval **evals = ARENA_ARRAY(ctx->arena, Eval *, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        allocate(ctx, values, m->equations.at[i]->result);
        evals[i] = prepare(ctx, values, m->equations.at[i]);
    }
    for (uint32_t begin_at = 0, end = 0; begin_at < n; begin_at = end) {
        uint32_t group = m->equations.at[begin_at]->scan.group;
        for (end = begin_at + 1; group && end < n;) {
            if (m->equations.at[end]->scan.group != group) break;
            end++;
        }
        if (group)
            run_scan(evals + begin_at, end - begin_at);
        else
            run(evals[begin_at], NULL, 0);
    }
}
