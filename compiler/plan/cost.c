/* plan/cost.c: what things cost: operations, and the blocking of contractions.
 *
 * The blocking follows Low, Igual, Smith, Quintana-Ortí, "Analytical modeling is enough for
 * high-performance BLIS" (ACM TOMS 43, 2016): the register tile from the number of registers and
 * the latency of a multiply-add, the panel of b from the caches.
 */
#include "plan/private.h"

enum {
    LATENCY = 4,      /* cycles of a multiply-add */
    PER_CYCLE = 2,    /* multiply-adds, and loads, a cycle */
    BATCH_GUESS = 64, /* examples, where the number is not known */
};

/* ---- operations -------------------------------------------------------------------------------
 */

static double cost_of_op(const Expr *e) {
    switch (e->op.op) {
    case OP_DIV: return e->op.args[1]->kind == EX_NUMBER ? 1 : 4;
    case OP_SQRT: return 5;
    case OP_EXP:
    case OP_LOG:
    case OP_LOG1P:
    case OP_EXPM1:
    case OP_SIN:
    case OP_COS:
    case OP_ERF: return 12;
    case OP_LOGISTIC:
    case OP_TANH: return 16;
    case OP_LOG1PEXP:
    case OP_POW: return 25;
    case OP_STOP: return 0;
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_NEG:
    case OP_MAX:
    case OP_MIN:
    case OP_ABS:
    case OP_SIGN:
    case OP_FLOOR:
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_AND:
    case OP_OR:
    case OP_NOT:
    case OP_SELECT:
    case OPS: return 1;
    }
    return 1;
}

static void add_cost(void *data, const Expr *e) {
    double *cost = data;
    switch (e->kind) {
    case EX_OP: *cost += cost_of_op(e); return;
    case EX_DRAW: *cost += 30; return;
    case EX_REAL: *cost += 1; return;
    case EX_FLOORDIV:
    case EX_MOD: *cost += 2; return;
    case EX_READ: *cost += e->read.otherwise ? 2 : 0; return;
    case EX_NUMBER:
    case EX_TRUTH:
    case EX_AFFINE:
    case EX_INDEX:
    case EX_REDUCE:
    case EX_CONTRACT:
    case EX_STEP:
    case EX_BATCH: return;
    }
}

double plan_cost(Ctx *ctx, const Expr *e) {
    double cost = 0;
    ir_visit(ctx, e, add_cost, &cost);
    return cost;
}

/* Additions, multiplications and the like, each 1, as FLOP counts go. */
static void add_flop(void *data, const Expr *e) {
    double *flops = data;
    if (e->kind == EX_OP && e->op.op != OP_STOP && e->type == TY_REAL) *flops += 1;
}

static double points_per_example(Index *const *indices, uint32_t n) {
    double points = 1;
    for (uint32_t i = 0; i < n; i++)
        if (indices[i]->extent != EXTENT_BATCH) points *= (double)indices[i]->extent;
    return points;
}

static bool over_batch(Index *const *indices, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (indices[i]->extent == EXTENT_BATCH) return true;
    return false;
}

static void count(Kernel *k, double flops, bool batched) {
    *(batched ? &k->example_flops : &k->flops) += flops;
}

void plan_flops(Ctx *ctx, Kernel *k) {
    double body = 0, stores = 0, free = points_per_example(k->free, k->nfree);
    double over = points_per_example(k->over, k->nover);
    bool free_batched = over_batch(k->free, k->nfree);
    bool batched = free_batched || over_batch(k->over, k->nover);
    if (k->body) ir_visit(ctx, k->body, add_flop, &body);
    for (uint32_t i = 0; i < k->nalso; i++) ir_visit(ctx, k->also[i].body, add_flop, &body);
    body += k->nalso;
    for (uint32_t i = 0; i < k->nstores; i++) {
        double flops = 0;
        ir_visit(ctx, k->stores[i].value, add_flop, &flops);
        stores += flops;
    }
    switch (k->kind) {
    case KERNEL_MAP: count(k, free * stores, free_batched); break;
    case KERNEL_REDUCE:
    case KERNEL_CONTRACT:
        count(k, free * over * (body + 1), batched);
        count(k, free * stores, free_batched);
        break;
    case KERNEL_SCATTER:
        count(k, free / (double)k->free[k->scatter_dim]->extent * over * (body + 1), batched);
        break;
    case KERNEL_SCAN: break; /* its steps' */
    }
}

/* ---- blocking ---------------------------------------------------------------------------------
 */

static int64_t extent_of(Index *const *indices, uint32_t n) {
    int64_t extent = 1;
    for (uint32_t i = 0; i < n; i++)
        extent *= indices[i]->extent == EXTENT_BATCH ? BATCH_GUESS : indices[i]->extent;
    return extent;
}

double plan_share_used(int64_t extent, int64_t tile) {
    return (double)extent / (double)((extent + tile - 1) / tile * tile);
}

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

/* Multiply-adds of use in a cycle: not more than two, not more than the loads feed, and enough
 * accumulators to cover the latency. */
static double tile_value(int64_t m, int64_t vectors, int64_t extent_m, int64_t extent_n,
                         int64_t lanes) {
    double fmas = (double)(m * vectors), loads = (double)(m + vectors);
    double cycles = fmas / PER_CYCLE;
    if (cycles < LATENCY) cycles = LATENCY;
    if (cycles < loads / PER_CYCLE) cycles = loads / PER_CYCLE;
    cycles += 0.05 * loads;
    double used = plan_share_used(extent_m, m) * plan_share_used(extent_n, vectors * lanes);
    return fmas / cycles * used;
}

/* m_r x n_r accumulators, one row of b and one element of a must fit the registers. */
static void choose_tile(Blocking *b, int64_t m, int64_t n, int64_t lanes, uint32_t registers) {
    double best = -1;
    for (int64_t vectors = 1; vectors <= 6; vectors++)
        for (int64_t rows = 1; rows <= 14; rows++) {
            if (rows * vectors + vectors + 1 > (int64_t)registers) continue;
            if (rows > 1 && rows > m) continue;
            if (vectors > 1 && (vectors - 1) * lanes >= n) continue;
            double value = tile_value(rows, vectors, m, n, lanes);
            if (value <= best) continue;
            best = value;
            b->tile_m = rows;
            b->tile_n = vectors * lanes;
        }
}

Blocking plan_blocking(const Function *f, const Kernel *k, int64_t real_bytes, int64_t vector_bytes,
                       uint32_t vector_registers, int64_t l1_bytes, int64_t l2_bytes) {
    const Roles oriented = plan_oriented(k), *r = &oriented;
    int64_t lanes = vector_bytes / real_bytes;
    Blocking b = {0};
    choose_tile(&b, extent_of(r->m, r->nm), r->nn ? extent_of(&r->n[r->nn - 1], 1) : 1, lanes,
                vector_registers);
    /* Codegen copies b, all of the sum at once, for as many columns as the panel has room for. A
     * sum over the batch has no known length: b is read where it lies. */
    int64_t sum = extent_of(r->k, r->nk);
    for (uint32_t i = 0; i < r->nk; i++)
        if (r->k[i]->extent == EXTENT_BATCH) return b;
    if (!k->vector || !r->b || !r->nn || extent_of(r->m, r->nm) < 2) return b;
    for (uint32_t i = 0; i < r->nk; i++)
        if (r->k[i] == k->vector) return b;
    int64_t *strides = (int64_t[16]){0};
    if (r->b->read.tensor->rank > 16) return b;
    plan_strides(f, r->b->read.tensor, strides);
    int64_t stride = 0;
    for (uint32_t d = 0; d < r->b->read.tensor->rank; d++) {
        const Expr *sub = r->b->read.subs[d];
        for (uint32_t t = 0; t < sub->affine.nterms; t++)
            if (sub->affine.terms[t].atom->kind == EX_INDEX &&
                sub->affine.terms[t].atom->index == k->vector)
                stride += sub->affine.terms[t].coefficient * strides[d];
    }
    if (stride == 0 || stride == 1) return b;
    int64_t vectors = (extent_of(r->n, r->nn) + lanes - 1) / lanes, most = 8;
    if (vectors > most) vectors = most;
    while (vectors > 1 && sum * vectors * vector_bytes > l2_bytes / 2) vectors--;
    if (sum * vectors * vector_bytes > 4 * l2_bytes) return b;
    b.pack_b = true;
    b.block_k = sum;
    b.block_n = vectors * lanes;
    b.workspace_bytes = sum * vectors * vector_bytes;
    return b;
}
